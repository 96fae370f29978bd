/* SPDX-License-Identifier: Apache-2.0 */
#include "run/decay.h"

#include <string.h>

static const char *const names[] = {"step", "cosine", "constant"};

const char *schedule_names(void) {
    return "auto, step, cosine, constant";
}

sgp_status_t schedule_parse(const char *name, schedule_kind_t *kind) {
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *kind = (schedule_kind_t)i;
            return SGP_OK;
        }
    return SGP_ERR_NOT_FOUND;
}
