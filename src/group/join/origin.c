/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/origin.h"

#include "base/logging.h"

#include <stdlib.h>
#include <string.h>

static void release(const char *text) {
    free((void *)(uintptr_t)text);
}

static bool copy(const char *text, const char **to) {
    *to = text ? strdup(text) : NULL;
    return *to || !text;
}

sgp_status_t sgp_origin_copy(const sgp_origin_t *from, sgp_origin_t **origin) {
    sgp_origin_t *made = sgp_guarded_make(sizeof *made); /* it has the key */
    if (made) {
        *made = *from;
        bool rendezvous = copy(from->rendezvous, &made->rendezvous);
        bool interface = copy(from->interface, &made->interface);
        bool ports = copy(from->ports, &made->ports);
        if (rendezvous && interface && ports) {
            *origin = made;
            return SGP_OK;
        }
    }
    sgp_origin_destroy(made);
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a group");
}

void sgp_origin_destroy(sgp_origin_t *origin) {
    if (!origin) return;
    release(origin->rendezvous);
    release(origin->interface);
    release(origin->ports);
    sgp_guarded_free(origin);
}
