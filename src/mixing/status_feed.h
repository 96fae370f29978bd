/* SPDX-License-Identifier: Apache-2.0 */
/* Hands a mixer's numbers in to the status of its group (group/group_status.h), where somebody looks at the run; else one atomic
 * load in a step. The node's own thread calls these. */
#ifndef SGP_MIXING_STATUS_FEED_H
#define SGP_MIXING_STATUS_FEED_H

#include "mixing/mixer_core.h"

/* A step begins: its graph. The caller has the use of the transport. */
void sgp_status_feed_begin(sgp_mixer_t *mixer);

/* A step is over: the counters. waits: not in the step path. */
void sgp_status_feed_end(sgp_mixer_t *mixer, bool waits);

/* The mixer is to be destroyed: the next one of its group hands in from here on. */
void sgp_status_feed_stop(sgp_mixer_t *mixer);

#endif
