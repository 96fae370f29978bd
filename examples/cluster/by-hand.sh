#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One node on each of several machines, through ssh: ./by-hand.sh "node17 node18 node19" [OPTIONS OF SGP TRAIN]
# The first machine is the one where they meet. Needs a login without a password, and the program, the data
# and the key file in the same place on all of them.
set -eu

: "${SGP:=sgp}" "${SSH:=ssh}" "${PORT:=7070}" "${KEY_FILE:=$HOME/sgp.key}"
hosts=$1
shift
set -- --key-file "$KEY_FILE" "$@"

# shellcheck disable=SC2086 # a list of words
first=${hosts%% *} count=$(echo $hosts | wc -w) rank=0
for host in $hosts; do
    $SSH "$host" "$SGP" train --nodes "$count" --join "$first:$PORT" --rank "$rank" "$@" &
    rank=$((rank + 1))
done
wait
