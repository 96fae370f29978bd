/* SPDX-License-Identifier: Apache-2.0 */
/* A step in parts, for the public calls (mixer_api.c): begin, part, end and wait are in mixer_internal.h. */
#ifndef SGP_MIXING_PARTS_H
#define SGP_MIXING_PARTS_H

#include "mixing/mixer_core.h"

/* Before every other call that works on the mixer's vector, with the call's name: waits for the rest of a step that has
 * ended. SGP_ERR_INVALID: it has not ended. An error of the step, now or before: the run is over for this mixer. */
sgp_status_t sgp_parts_complete(sgp_mixer_t *mixer, const char *call);

/* At the mixer's end, in the middle of a step or not. */
void sgp_parts_destroy(sgp_mixer_t *mixer);

#endif
