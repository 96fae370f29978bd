/* SPDX-License-Identifier: Apache-2.0 */
#include "data/cursor.h"

/* Positions [first, first + count). */
typedef struct range {
    uint64_t first, count;
} range_t;

static uint64_t positions_per_step(const cursor_t *cursor) {
    return (uint64_t)cursor->size * (uint64_t)cursor->batch;
}

/* The first (count mod parts) parts have one more. */
static range_t part_of(range_t whole, uint64_t part, uint64_t parts) {
    uint64_t share = whole.count / parts, more = whole.count % parts;
    return (range_t){.first = whole.first + part * share + (part < more ? part : more),
                     .count = share + (part < more)};
}

uint64_t cursor_end(const cursor_t *cursor) {
    uint64_t per_step = positions_per_step(cursor), left = cursor->count - cursor->begin;
    return cursor->step + left / per_step + (left % per_step > 0);
}

cursor_part_t cursor_part(const cursor_t *cursor, uint64_t step, int rank) {
    uint64_t workers = (uint64_t)cursor->workers, nodes = (uint64_t)cursor->size / workers;
    uint64_t start = cursor->begin + (step - cursor->step) * positions_per_step(cursor);
    uint64_t left = start < cursor->count ? cursor->count - start : 0;
    if (left > positions_per_step(cursor)) left = positions_per_step(cursor);
    range_t node = part_of((range_t){start, left}, (uint64_t)rank / workers, nodes);
    range_t mine = part_of(node, (uint64_t)rank % workers, workers);
    return (cursor_part_t){.first = mine.first,
                           .count = (int)mine.count,
                           .after = start + (uint64_t)rank * (uint64_t)cursor->batch};
}

cursor_t cursor_next(const cursor_t *cursor, uint64_t step, int size) {
    cursor_t next = *cursor;
    uint64_t begin = cursor->begin + (step - cursor->step) * positions_per_step(cursor);
    next.step = step;
    next.begin = begin < cursor->count ? begin : cursor->count;
    next.size = size;
    return next;
}
