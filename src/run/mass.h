/* SPDX-License-Identifier: Apache-2.0 */
/* Warns of a run that has lost mass, or found some: the average is then no longer that of what the
 * nodes have learned. Rounding alone makes a drift of something like 1e-7. */
#ifndef SGP_RUN_MASS_H
#define SGP_RUN_MASS_H

#include "run/run_state.h"

#define MASS_DRIFT 1e-4 /* relative; above it there is a warning */

/* Node 0 says it, once for each call. when: "at the end of epoch 3". */
void mass_warn(const run_t *run, const sgp_mixer_consensus_t *found, const char *when);

/* What the nodes have read from a checkpoint, taken together; all nodes call it before the first
 * step. The errors of sgp_mixer_balance. */
sgp_status_t mass_check(run_t *run);

#endif
