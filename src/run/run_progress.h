/* SPDX-License-Identifier: Apache-2.0 */
/* Reports a run's progress to the caller of train_run. */
#ifndef SGP_RUN_RUN_PROGRESS_H
#define SGP_RUN_RUN_PROGRESS_H

#include "run/run_state.h"

/* Calls the progress callback, if there is one, if the last report is a quarter of a second old.
 * epoch: from 0. */
void run_progress_after_step(run_t *run, uint64_t epoch);

/* Calls it with the results of the epoch, from 0. */
void run_progress_after_epoch(run_t *run, uint64_t epoch);

#endif
