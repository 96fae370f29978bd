/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/settling.h"

#include "base/constants.h"
#include "base/logging.h"
#include "mixing/holes.h"
#include "mixing/late.h"

#include <stdlib.h>

/* A rank from which messages are missing; -1: none. expected: (size) sent to this node by each. */
static int find_missing(const sgp_mixer_t *mixer, const uint64_t *expected) {
    for (int r = 0; r < mixer->size; r++)
        if (mixer->holes.got[r] < expected[r] && !sgp_holes_ended(mixer, r)) return r;
    return -1;
}

static sgp_status_t absorb_until_all(sgp_mixer_t *mixer, const uint64_t *expected,
                                     uint64_t deadline) {
    for (;;) {
        sgp_inbox_collect(mixer->inbox);
        uint64_t since = sgp_inbox_taken_in(mixer->inbox);
        if (find_missing(mixer, expected) >= 0) mixer->holes.stirred = true;
        sgp_late_fold(mixer);
        sgp_status_t status = sgp_late_absorb(mixer);
        int missing = find_missing(mixer, expected);
        if (status != SGP_OK || missing < 0) return status;
        sgp_inbox_want(mixer->inbox, SGP_FLIGHT_FOR_REST, missing, mixer->round);
        status = sgp_inbox_wait_for(mixer->inbox, missing, since, deadline, "late messages");
        if (status != SGP_OK) return status;
    }
}

/* all: (size, size) row r: messages of rank r to each. In place of the first row: those of each to this node. */
static void transpose(const sgp_mixer_t *mixer, uint64_t *all) {
    size_t size = (size_t)mixer->size, own = (size_t)mixer->rank;
    for (size_t r = 0; r < size; r++) all[r] = all[r * size + own];
}

sgp_status_t sgp_settle_gather(const sgp_mixer_t *mixer, uint64_t **expected) {
    size_t size = (size_t)mixer->size, bytes = size * sizeof(uint64_t);
    uint64_t *all = *expected = calloc(size, bytes);
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory to settle %zu nodes", size);
    sgp_status_t status = sgp_group_gather(mixer->group, mixer->holes.sent, bytes, all);
    if (status == SGP_OK) transpose(mixer, all); /* zeros of a rank that is not there */
    return status;
}

sgp_status_t sgp_settle_late(sgp_mixer_t *mixer, uint64_t deadline) {
    uint64_t *expected = NULL;
    if (!mixer->holes.elastic || (size_t)mixer->size * sizeof *expected > SGP_GATHER_BYTES)
        return SGP_OK;
    sgp_status_t status = sgp_settle_gather(mixer, &expected);
    if (status == SGP_OK) {
        sgp_late_before(mixer, mixer->round);
        status = absorb_until_all(mixer, expected, deadline);
    }
    free(expected);
    return status;
}
