/* SPDX-License-Identifier: Apache-2.0 */
/* Warns when the mass of a run has drifted: the average over nodes is then no longer the mean of
 * their updates. Rounding alone makes a relative drift of about 1e-7. */
#ifndef SGP_RUN_MASS_H
#define SGP_RUN_MASS_H

#include "run/run_state.h"

#define MASS_DRIFT 1e-4 /* relative; the warning begins above it */

/* Warns on the first node. when: "at the end of epoch 3". */
void mass_warn(const run_t *run, const sgp_mixer_consensus_t *found, const char *when);

/* Checks the mass of a restored checkpoint; all nodes call it before the first step. The errors of
 * sgp_mixer_balance. */
sgp_status_t mass_check(run_t *run);

#endif
