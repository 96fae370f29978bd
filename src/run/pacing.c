/* SPDX-License-Identifier: Apache-2.0 */
#include "run/pacing.h"

#include "base/clock.h"
#include "base/constants.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

double pacing_wall_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void pacing_sleep_ns(uint64_t nanoseconds, const volatile sig_atomic_t *stop) {
    uint64_t end = sgp_clock_now() + nanoseconds;
    struct timespec until = {.tv_sec = (time_t)(end / SGP_SECOND),
                             .tv_nsec = (long)(end % SGP_SECOND)};
    /* An absolute end, so that signals do not add up to a longer sleep. */
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        if (stop && *stop) return;
}
