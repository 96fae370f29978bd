/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of an epoch, in which a node talks to others through the mixer alone, and the stops
 * between them. A step allocates nothing. */
#ifndef SGP_RUN_STEPS_H
#define SGP_RUN_STEPS_H

#include "run/run_state.h"

/* Makes the steps of this epoch, from 0, that are not done yet, with the checkpoints that fall
 * between them, also those with the samples that nobody has taken because of a loss (run/run_data.h). The errors of steps_halt, model_train and sgp_mixer_step. */
sgp_status_t steps_run(run_t *run, uint64_t epoch);

/* Between two steps: halts if the nodes have agreed to do so here, writes a checkpoint, and ends
 * the run if a signal is the reason. SGP_ERR_INTERRUPTED: it ends. The errors of halt_before_step
 * and checkpoint_write. */
sgp_status_t steps_halt(run_t *run);

#endif
