/* SPDX-License-Identifier: Apache-2.0 */
/* Resuming a run: chooses the checkpoint, and keeps the metrics of finished epochs.
 *
 * The choice is the newest checkpoint in which every node's file is whole and of this run. It may be of another number of
 * nodes; then each node must see all files. Any other file is named in a warning, and an older checkpoint is taken. A run
 * that ended before its first checkpoint was complete begins again; it is an error if all checkpoints are bad. */
#ifndef SGP_RUN_RESUME_H
#define SGP_RUN_RESUME_H

#include "run/run_state.h"

/* Checks the files of all nodes in options->resume before any node starts. *step: of the checkpoint
 * that the nodes will choose; 0: they begin again. Logs only errors. SGP_ERR_FORMAT,
 * SGP_ERR_MISMATCH: there are checkpoints and none is good; the log says what is wrong with the
 * newest. SGP_ERR_IO: unreadable. The errors of replica_init. With private data each node checks its
 * own files, and here only the number of nodes counts; *step is 0. */
sgp_status_t resume_check(const train_options_t *options, uint64_t *step);

/* The same choice by all nodes together: each checks its part (checkpoint_set.h) and warns of bad files, and *step and
 * run->origin, which is set if *step > 0, are the same on every node. Called before replica_join and after run_id_find. */
sgp_status_t resume_choose(run_t *run, uint64_t *step);

/* Replaces OUTPUT/metrics.jsonl by the lines of FROM/metrics.jsonl up to epoch `epochs` or step `step`. Later
 * lines and a last line that was cut are dropped. If there is no file, the new one is empty, with a
 * warning. SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t resume_metrics(const char *from, const char *output, uint64_t epochs, uint64_t step);

#endif
