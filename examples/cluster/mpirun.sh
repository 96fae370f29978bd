#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Starts nodes on the machines of a hostfile: HOSTFILE=hosts ./mpirun.sh 8 [OPTIONS OF SGP TRAIN]
# Open MPI's mpirun starts the processes and passes on their addresses and a key; messages use shared memory
# within a machine and TCP between machines.
set -eu

: "${SGP:=sgp}" "${MPIRUN:=mpirun}" "${HOSTFILE:=hosts}"
nodes=$1
shift
exec "$MPIRUN" -n "$nodes" --hostfile "$HOSTFILE" "$SGP" train "$@"
