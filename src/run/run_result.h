/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a run: fills the train_summary_t that train_run returns and summary.json holds. */
#ifndef SGP_RUN_RUN_RESULT_H
#define SGP_RUN_RUN_RESULT_H

#include "run/run_state.h"

/* Of a finished run, the same on every node. All nodes call it; blocks as sgp_group_gather.
 * SGP_ERR_NO_MEMORY. */
sgp_status_t run_result_finished(run_t *run, train_summary_t *summary);

/* Of a run that ended early: this node's own figures and those of the last finished epoch; the
 * others are NAN. State and reason are left to the caller. */
void run_result_early(const run_t *run, train_summary_t *summary);

#endif
