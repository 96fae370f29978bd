/* SPDX-License-Identifier: Apache-2.0 */
/* Going on with a run: which checkpoint, and what of the run's files stays.
 *
 * The newest checkpoint counts whose files of all nodes are whole and of this run. A file that is
 * not is named in a warning, and the checkpoint before it is taken. A run that ended before its
 * first checkpoint was complete begins again; one whose checkpoints are all bad is an error. */
#ifndef SGP_RUN_RESUME_H
#define SGP_RUN_RESUME_H

#include "run/run_state.h"

/* Looks at the files of all nodes in options->resume, before any node starts. *step: of the
 * checkpoint that they will choose, 0: from the beginning. Logs nothing but errors.
 * SGP_ERR_FORMAT, SGP_ERR_MISMATCH: there are checkpoints and none is good; the line says what is
 * wrong with the newest. SGP_ERR_IO: unreadable. The errors of replica_init. */
sgp_status_t resume_check(const train_options_t *options, uint64_t *step);

/* The same by all nodes together, each of which looks at its own files and warns of bad ones: every
 * node comes to the same *step. The nodes call it before replica_join; run->id is known. */
sgp_status_t resume_choose(run_t *run, uint64_t *step);

/* Replaces OUTPUT/metrics.jsonl by the lines of finished epochs in FROM/metrics.jsonl: those
 * that an epoch after `epochs` has left, and a last line that was cut, go. Without a file there
 * are no lines, and a warning. SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t resume_metrics(const char *from, const char *output, uint64_t epochs);

#endif
