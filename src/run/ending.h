/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a run that does not reach its end: the nodes tell each other what they met, and node 0
 * writes it down. */
#ifndef SGP_RUN_ENDING_H
#define SGP_RUN_ENDING_H

#include "run/run_state.h"

/* After the error `status` of the steps; the mixer is destroyed by it. Where the nodes can still talk
 * they agree on the cause: returns its status, the same on all of them. Fills *summary. */
sgp_status_t ending_share(run_t *run, sgp_status_t status, train_summary_t *summary);

/* Writes the summary on node 0. A failure is logged, and there is nothing more to be done about it. */
void ending_write(const run_t *run, const train_summary_t *summary);

#endif
