/* SPDX-License-Identifier: Apache-2.0 */
/* SlowMo's outer update, for any algorithm: every tau steps the nodes average exactly, or not (slow_alone), and the tau steps
 * count as one step of an outer momentum u:
 *
 *   u <- beta u + (anchor - z) / lr,   z <- anchor - lr u,   anchor <- z
 *
 * Source: Wang, Tantia, Ballas, Rabbat 2020, "SlowMo", algorithm 1 with an outer learning rate of 1. With beta = 0 it
 * leaves z as it is. The optimizer keeps its own momentum. Called by mixer.c; outer.h has the outer steps that are a part of
 * an algorithm's own exchange. */
#ifndef SGP_MIXING_SLOW_UPDATE_H
#define SGP_MIXING_SLOW_UPDATE_H

#include "mixing/mixer_core.h"

/* Whether one is due once so many steps have been made; after the step that was just made. */
static inline bool sgp_slow_due_at(const sgp_mixer_t *mixer, uint64_t steps) {
    int every = mixer->options.slow_every;
    return every > 0 && steps % (uint64_t)every == 0;
}
static inline bool sgp_slow_due(const sgp_mixer_t *mixer) {
    return sgp_slow_due_at(mixer, mixer->step);
}

/* On the segment. learning_rate: of the last step. Errors as sgp_mixer_step. */
sgp_status_t sgp_slow_update(sgp_mixer_t *mixer, float learning_rate, uint64_t deadline);

#endif
