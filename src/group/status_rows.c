/* SPDX-License-Identifier: Apache-2.0 */
#include "group/status_rows.h"

#include "base/constants.h"
#include "base/logging.h"

#include <stdlib.h>

sgp_status_t sgp_status_rows_init(sgp_status_rows_t *rows, int capacity, int self,
                                  uint32_t incarnation) {
    *rows = (sgp_status_rows_t){.capacity = capacity, .self = self};
    rows->of = calloc((size_t)capacity, sizeof *rows->of);
    if (!rows->of)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the status of %d members", capacity);
    sgp_status_row_init(sgp_status_rows_own(rows), self, incarnation);
    return SGP_OK;
}

void sgp_status_rows_fini(sgp_status_rows_t *rows) {
    free(rows->of);
    *rows = (sgp_status_rows_t){.of = NULL};
}

void sgp_status_rows_renew(sgp_status_rows_t *rows, uint64_t time) {
    sgp_status_known_t *own = &rows->of[rows->self];
    own->row.version++;
    own->time = time;
}

static bool is_newer(const sgp_status_row_t *row, const sgp_status_row_t *known) {
    if (known->version == 0) return true;
    if (row->incarnation != known->incarnation) return row->incarnation > known->incarnation;
    return row->version > known->version;
}

bool sgp_status_rows_merge(sgp_status_rows_t *rows, const sgp_status_row_t *row, int ways,
                           uint64_t now) {
    sgp_status_known_t *known = &rows->of[row->seat];
    if (row->seat == rows->self || !is_newer(row, &known->row)) return false;
    uint64_t age = row->age_ms * SGP_MILLISECOND;
    known->row = *row;
    known->time = age < now ? now - age : 0;
    known->news[SGP_STATUS_AROUND] = 1;
    if (ways > 0) known->news[SGP_STATUS_TOWARDS] = ways;
    return true;
}

/* In messages that go around: that somebody wants rows. */
static bool is_urgent(const sgp_status_known_t *known, sgp_status_lane_t lane) {
    return lane == SGP_STATUS_AROUND && known->row.wants && known->news[lane] > 0;
}

static bool goes_before(const sgp_status_known_t *a, const sgp_status_known_t *b,
                        sgp_status_lane_t lane) {
    if (is_urgent(a, lane) != is_urgent(b, lane)) return is_urgent(a, lane);
    if ((a->news[lane] > 0) != (b->news[lane] > 0)) return a->news[lane] > 0;
    return a->told[lane] < b->told[lane];
}

/* The best one of those that are not chosen; NULL: there is none. */
static sgp_status_known_t *next_best(sgp_status_rows_t *rows, sgp_status_lane_t lane, int dst,
                                     const sgp_status_known_t *const *chosen, int count) {
    sgp_status_known_t *best = NULL;
    for (int s = 0; s < rows->capacity; s++) {
        sgp_status_known_t *at = &rows->of[s];
        bool taken = s == rows->self || s == dst || at->row.version == 0;
        for (int i = 0; i < count && !taken; i++) taken = chosen[i] == at;
        if (!taken && (!best || goes_before(at, best, lane))) best = at;
    }
    return best;
}

static void write(sgp_status_rows_t *rows, sgp_status_known_t *known, sgp_status_lane_t lane,
                  uint64_t now, sgp_status_row_t *row) {
    uint64_t age = now > known->time ? (now - known->time) / SGP_MILLISECOND : 0;
    *row = known->row;
    row->age_ms = age < UINT32_MAX ? (uint32_t)age : UINT32_MAX;
    if (known != &rows->of[rows->self]) row->hops++;
    if (known->news[lane] > 0) known->news[lane]--;
    known->told[lane] = ++rows->told;
}

int sgp_status_rows_choose(sgp_status_rows_t *rows, sgp_status_lane_t lane, int dst, uint64_t now,
                           int most, sgp_status_row_t *chosen) {
    const sgp_status_known_t *taken[SGP_STATUS_ROWS_MOST];
    int count = 0;
    if (most > SGP_STATUS_ROWS_MOST) most = SGP_STATUS_ROWS_MOST;
    for (; count < most; count++) {
        bool own = count == 0 && rows->of[rows->self].row.version > 0;
        sgp_status_known_t *next =
            own ? &rows->of[rows->self] : next_best(rows, lane, dst, taken, count);
        if (!next) break;
        taken[count] = next;
        write(rows, next, lane, now, &chosen[count]);
    }
    return count;
}
