/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/catch_up.h"

#include "base/logging.h"
#include "mixing/questions.h"

#include <inttypes.h>

/* A node that is behind hears of the others' step within so many steps of its own: it cannot end a step without their
 * messages or their answers. Later a node that is ahead is only fast. */
#define STEPS_TO_HEAR 16

/* Over so many exchanging steps. */
static void jump(sgp_mixer_t *mixer, uint64_t exchanging) {
    uint64_t round = mixer->round + exchanging * (uint64_t)mixer->options.rounds;
    uint64_t steps = exchanging * (uint64_t)mixer->options.local_steps;
    sgp_log(SGP_LOG_INFO, "mixer: was silent, and passes over %" PRIu64 " steps from step %" PRIu64,
            steps, mixer->step);
    mixer->round = round;
    mixer->step += steps;
    mixer->statistics.passed_over += steps;
    sgp_questions_passed(mixer, round);
}

static void look_at_absences(sgp_mixer_t *mixer) {
    sgp_holes_t *holes = &mixer->holes;
    uint32_t absences = sgp_fates_absences(mixer->transport->fates);
    if (absences == holes->absences_seen) return;
    holes->absences_seen = absences;
    holes->was_silent = holes->stirred = true;
    holes->steps_since = 0;
}

void sgp_catch_up(sgp_mixer_t *mixer) {
    sgp_holes_t *holes = &mixer->holes;
    look_at_absences(mixer);
    if (!holes->was_silent || !mixer->options.passes_over) return;
    uint64_t highest = sgp_questions_highest(mixer), rounds = (uint64_t)mixer->options.rounds;
    uint64_t behind = highest > mixer->round ? (highest - mixer->round) / rounds : 0;
    if (behind >= 2) jump(mixer, behind); /* perhaps of messages of long ago: not the last one */
    if (++holes->steps_since > STEPS_TO_HEAR) holes->was_silent = false;
}
