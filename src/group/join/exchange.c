/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/exchange.h"

#include "base/constants.h"
#include "base/clock.h"
#include "base/logging.h"

#include <stdio.h>
#include <stdlib.h>

sgp_limit_t sgp_limit_make(int timeout_ms) {
    return (sgp_limit_t){sgp_clock_now() + (uint64_t)timeout_ms * SGP_MILLISECOND, timeout_ms};
}

int sgp_limit_left_ms(const sgp_limit_t *limit) {
    uint64_t now = sgp_clock_now();
    if (now >= limit->deadline) return 0;
    return (int)((limit->deadline - now + SGP_MILLISECOND - 1) / SGP_MILLISECOND);
}

const char *sgp_limit_text(const sgp_limit_t *limit, char text[32]) {
    if (limit->timeout_ms % 1000) snprintf(text, 32, "%d ms", limit->timeout_ms);
    else snprintf(text, 32, "%d s", limit->timeout_ms / 1000);
    return text;
}

sgp_status_t sgp_exchange_group(sgp_group_t *group, const sgp_card_t *mine, sgp_card_t **all) {
    int size = sgp_group_size(group);
    unsigned char own[SGP_CARD_BYTES];
    unsigned char(*gathered)[SGP_CARD_BYTES] = malloc((size_t)size * sizeof *gathered);
    sgp_card_t *cards = calloc((size_t)size, sizeof *cards);
    sgp_card_encode(mine, own);
    sgp_status_t status = gathered && cards
                              ? sgp_group_gather(group, own, sizeof own, gathered)
                              : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d cards", size);
    for (int r = 0; r < size && status == SGP_OK; r++)
        status = sgp_card_decode(gathered[r], &cards[r]);
    free(gathered);
    if (status == SGP_OK) *all = cards;
    else free(cards);
    return status;
}
