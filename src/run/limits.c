/* SPDX-License-Identifier: Apache-2.0 */
#include "run/limits.h"

#include "mixing/mixer_internal.h"

#include <math.h>

enum { MESSAGE = 60, FIRST = 3600, COLLECTIVE = 600 }; /* seconds, at least */

/* Times the longest gradient, and times the steps of an epoch. */
enum { STEPS = 20, STEPS_OF_HALT = 3, EPOCHS = 4 };

limits_seconds_t limits_of(double gradient, double epoch) {
    return (limits_seconds_t){
        .message = gradient > 0 ? fmax(MESSAGE, STEPS * gradient) : FIRST,
        .collective = fmax(COLLECTIVE, fmax(STEPS * gradient, EPOCHS * epoch)),
        .halt = fmax(HALT_PATIENCE_SECONDS, STEPS_OF_HALT * gradient),
    };
}

static void set_group(sgp_group_t *group, double seconds) {
    if (group) sgp_group_set_timeout(group, (uint64_t)(seconds * 1e9));
}

static void set(limits_t *limits, double epoch) {
    limits_seconds_t seconds = limits_of(limits->gradient, epoch);
    seconds.collective += limits->pause;
    sgp_mixer_set_timeout(limits->mixer, (uint64_t)(seconds.message * 1e9));
    set_group(limits->groups.all, seconds.collective);
    set_group(limits->groups.nodes, seconds.collective);
    set_group(limits->groups.workers, seconds.collective);
    halt_set_patience(limits->halt, seconds.halt);
    if (limits->told) limits->told(seconds.halt, sgp_group_rank(limits->groups.all));
}

void limits_begin(limits_t *limits) {
    limits->gradient = 0;
    set(limits, 0);
}

void limits_gradient(limits_t *limits, double seconds) {
    if (seconds <= limits->gradient) return;
    limits->gradient = seconds;
    set(limits, 0);
}

void limits_epoch(limits_t *limits, double seconds) {
    set(limits, seconds);
}
