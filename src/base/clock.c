/* SPDX-License-Identifier: Apache-2.0 */
#include "base/constants.h"
#include "base/clock.h"

#include <time.h>

uint64_t sgp_clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SGP_SECOND + (uint64_t)now.tv_nsec;
}
