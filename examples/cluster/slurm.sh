#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Four nodes under Slurm: sbatch slurm.sh [OPTIONS OF SGP TRAIN]
#SBATCH --job-name=sgp
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=1
#SBATCH --output=sgp-%j.log
set -eu

: "${SGP:=sgp}" # the program, at the same path on every machine

# With PMIx, Slurm provides rank, size, addresses and a key. Without it sgp reads SLURM_PROCID and similar
# variables, and needs a key in a file that all machines can read.
if srun --mpi=list 2>&1 | grep -q pmix; then
    mpi=pmix
else
    mpi=none
    : "${SGP_KEY_FILE:=$PWD/sgp-$SLURM_JOB_ID.key}"
    export SGP_KEY_FILE
    [ -e "$SGP_KEY_FILE" ] || (umask 077 && head -c 32 /dev/urandom | base64 > "$SGP_KEY_FILE")
fi
exec srun --mpi=$mpi "$SGP" train --output "runs/slurm-$SLURM_JOB_ID" "$@"
