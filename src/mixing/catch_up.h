/* SPDX-License-Identifier: Apache-2.0 */
/* A node that was silent itself jumps to the step of the others (docs/membership.md, "The lock step"): they have gone on
 * without it, and would wait for it while it makes the steps that they have made. For the algorithms that push in rounds. */
#ifndef SGP_MIXING_CATCH_UP_H
#define SGP_MIXING_CATCH_UP_H

#include "mixing/mixer_core.h"

/* At the beginning of a step of an elastic group, before sgp_holes_look, which fixes the neighbours of the step. Moves
 * mixer->step and mixer->round to the exchanging step of the highest round heard of, if this node was silent a short while
 * ago, is behind by two such steps or more, and its options allow it. The local steps between two of them stay as they
 * are. Sends nothing. */
void sgp_catch_up(sgp_mixer_t *mixer);

#endif
