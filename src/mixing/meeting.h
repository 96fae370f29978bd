/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller's barrier, gather and the like begin with (sgp_group_meet) in an elastic group, where the steps of a mixer are
 * collective calls: nodes that have made theirs meet those that a loss has stopped in it (docs/membership.md, "All-reduce").
 * Only the first such call after a step does. Called by mixer_api.c. */
#ifndef SGP_MIXING_MEETING_H
#define SGP_MIXING_MEETING_H

#include "mixing/mixer_core.h"

/* Of a mixer that is made, and of one that will be destroyed. No effect where the group is not elastic. */
void sgp_meeting_begin(sgp_mixer_t *mixer);
void sgp_meeting_end(sgp_mixer_t *mixer);

#endif
