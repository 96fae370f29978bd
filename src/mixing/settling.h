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

/* For an algorithm that absorbs by itself: the same exchange of numbers. *expected: (size) what each has sent to this node, and 0 of
 * those that take no part; released with free. Errors as sgp_group_gather; SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_settle_gather(const sgp_mixer_t *mixer, uint64_t **expected);

#endif
