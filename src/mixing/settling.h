/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a stretch of steps of an elastic group, for the algorithms that push in rounds: after silences messages may
 * be under way that no step waits for. The nodes tell each other how many messages each has sent to each, and absorb until
 * all have come from those that live. Then every pair has sent as many as it has absorbed. */
#ifndef SGP_MIXING_SETTLING_H
#define SGP_MIXING_SETTLING_H

#include "mixing/mixer_core.h"

/* All nodes call it after the same step. Changes nothing in a group without events, or that is not elastic. A node that is
 * silent is waited for until it is heard or lost. Errors as sgp_mixer_average. */
sgp_status_t sgp_settle_late(sgp_mixer_t *mixer, uint64_t deadline);

#endif
