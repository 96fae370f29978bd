/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/exchange.h"

#include "base/constants.h"
#include "base/clock.h"
#include "base/logging.h"

#include <stdio.h>
#include <stdlib.h>

sgp_deadline_t sgp_deadline_in(int timeout_ms) {
    return (sgp_deadline_t){sgp_clock_now() + (uint64_t)timeout_ms * SGP_MILLISECOND, timeout_ms};
}

int sgp_deadline_left_ms(const sgp_deadline_t *deadline) {
    uint64_t now = sgp_clock_now();
    if (now >= deadline->deadline) return 0;
    return (int)((deadline->deadline - now + SGP_MILLISECOND - 1) / SGP_MILLISECOND);
}

const char *sgp_deadline_text(const sgp_deadline_t *deadline, char text[32]) {
    if (deadline->timeout_ms % 1000) snprintf(text, 32, "%d ms", deadline->timeout_ms);
    else snprintf(text, 32, "%d s", deadline->timeout_ms / 1000);
    return text;
}

sgp_status_t sgp_exchange_group(sgp_group_t *group, const sgp_endpoint_t *mine,
                                sgp_endpoint_t **all) {
    int size = sgp_group_size(group);
    unsigned char own[SGP_ENDPOINT_BYTES];
    unsigned char(*gathered)[SGP_ENDPOINT_BYTES] = malloc((size_t)size * sizeof *gathered);
    sgp_endpoint_t *endpoints = calloc((size_t)size, sizeof *endpoints);
    sgp_endpoint_encode(mine, own);
    sgp_status_t status = gathered && endpoints
                              ? sgp_group_gather(group, own, sizeof own, gathered)
                              : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d endpoints", size);
    for (int r = 0; r < size && status == SGP_OK; r++)
        status = sgp_endpoint_decode(gathered[r], &endpoints[r]);
    free(gathered);
    if (status == SGP_OK) *all = endpoints;
    else free(endpoints);
    return status;
}
