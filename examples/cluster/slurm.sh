#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Four nodes under Slurm: sbatch slurm.sh [OPTIONS OF SGP TRAIN]
#SBATCH --job-name=sgp
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=1
#SBATCH --output=sgp-%j.log
set -eu

: "${SGP:=sgp}" # the program, the same on every machine

# With PMIx rank, size, addresses and a key come from Slurm. Without it sgp reads SLURM_PROCID and the like,
# and needs a key of its own, in a file that all machines see.
if srun --mpi=list 2>&1 | grep -q pmix; then
    mpi=pmix
else
    mpi=none
    : "${SGP_KEY_FILE:=$PWD/sgp-$SLURM_JOB_ID.key}"
    export SGP_KEY_FILE
    [ -e "$SGP_KEY_FILE" ] || (umask 077 && head -c 32 /dev/urandom | base64 > "$SGP_KEY_FILE")
fi
exec srun --mpi=$mpi "$SGP" train --output "runs/slurm-$SLURM_JOB_ID" "$@"
