/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a group's members, as one node knows them: one for each seat, the newest of its newest member. A row belongs to
 * its member, which alone counts its versions; the others pass it on. Not thread-safe, knows no transport and no clock: times are
 * nanoseconds of the caller's. */
#ifndef SGP_GROUP_STATUS_ROWS_H
#define SGP_GROUP_STATUS_ROWS_H

#include "group/status_row.h"

#include <stdbool.h>

/* Messages on the way to a node that wants rows, and all others. */
typedef enum sgp_status_lane {
    SGP_STATUS_TOWARDS,
    SGP_STATUS_AROUND,
    SGP_STATUS_LANES
} sgp_status_lane_t;

typedef struct sgp_status_known {
    sgp_status_row_t row; /* row.version 0: none is known */
    uint64_t time;        /* when its numbers were new, by this node's clock */
    int news
        [SGP_STATUS_LANES]; /* it is to be passed on so many times before those that are no news */
    uint64_t told[SGP_STATUS_LANES]; /* when it was passed on last, as a count of rows; 0: never */
} sgp_status_known_t;

/* Embedded; zeros at first. Readers may read the fields. */
typedef struct sgp_status_rows {
    int capacity, self;
    sgp_status_known_t *of; /* (capacity) */
    uint64_t told;          /* rows passed on so far */
} sgp_status_rows_t;

/* SGP_ERR_NO_MEMORY, logged. fini accepts zeros. */
sgp_status_t sgp_status_rows_init(sgp_status_rows_t *rows, int capacity, int self,
                                  uint32_t incarnation);
void sgp_status_rows_fini(sgp_status_rows_t *rows);

/* This node's own row, to be filled in. */
static inline sgp_status_row_t *sgp_status_rows_own(sgp_status_rows_t *rows) {
    return &rows->of[rows->self].row;
}

/* It was: the next version, whose numbers were new at `time`. */
void sgp_status_rows_renew(sgp_status_rows_t *rows, uint64_t time);

/* A row that has arrived `now`. false: it is this node's own, or no newer than the one that is known. ways: to nodes that want
 * rows, if it has come on such a way, and so is news there as well; 0: it has not. */
bool sgp_status_rows_merge(sgp_status_rows_t *rows, const sgp_status_row_t *row, int ways,
                           uint64_t now);

/* Rows for a message to dst, at most `most`: this node's own, then news before rows that were passed on in that lane, and those
 * first that have waited longest; around goes first that somebody wants rows. Returns how many. */
int sgp_status_rows_choose(sgp_status_rows_t *rows, sgp_status_lane_t lane, int dst, uint64_t now,
                           int most, sgp_status_row_t *chosen);

#endif
