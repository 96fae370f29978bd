#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# As many nodes as the hostfile has slots: HOSTFILE=hosts ./mpirun.sh 8 [OPTIONS OF SGP TRAIN]
# Open MPI's mpirun starts the processes, and brings their addresses and a key; messages go over shared
# memory within a machine and over TCP between machines.
set -eu

: "${SGP:=sgp}" "${MPIRUN:=mpirun}" "${HOSTFILE:=hosts}"
nodes=$1
shift
exec "$MPIRUN" -n "$nodes" --hostfile "$HOSTFILE" "$SGP" train "$@"
