/* SPDX-License-Identifier: Apache-2.0 */
#include "run/preset_rate.h"

#include <string.h>

/* docs/results.md, "Outer steps": at a larger rate the outer momentum is too much. */
#define OUTER_RATE 0.25

double preset_rate(const char *preset) {
    return strcmp(preset, "wan") == 0 ? OUTER_RATE : 1;
}
