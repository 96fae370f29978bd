/* SPDX-License-Identifier: Apache-2.0 */
/* The early end of a run: the nodes tell each other the errors that ended them (their endings,
 * run/halt.h) and agree on the first of them as the cause. */
#ifndef SGP_RUN_ENDING_H
#define SGP_RUN_ENDING_H

#include "run/run_state.h"

/* After the steps failed with `status`. Destroys the mixer. Where the nodes can still communicate,
 * returns the status of the cause, the same on all of them; else `status`. Fills *summary. Blocks
 * for HALT_PATIENCE_SECONDS at most. */
sgp_status_t ending_share(run_t *run, sgp_status_t status, train_summary_t *summary);

#endif
