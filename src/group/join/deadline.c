/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/deadline.h"

#include "base/clock.h"
#include "base/constants.h"

#include <stdio.h>

sgp_deadline_t sgp_deadline_in(int timeout_ms) {
    return (sgp_deadline_t){sgp_clock_now() + (uint64_t)timeout_ms * SGP_MILLISECOND, timeout_ms};
}

int sgp_deadline_left_ms(const sgp_deadline_t *deadline) {
    uint64_t now = sgp_clock_now();
    if (now >= deadline->end) return 0;
    return (int)((deadline->end - now + SGP_MILLISECOND - 1) / SGP_MILLISECOND);
}

const char *sgp_deadline_text(const sgp_deadline_t *deadline, char text[32]) {
    if (deadline->timeout_ms % 1000) snprintf(text, 32, "%d ms", deadline->timeout_ms);
    else snprintf(text, 32, "%d s", deadline->timeout_ms / 1000);
    return text;
}
