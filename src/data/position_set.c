/* SPDX-License-Identifier: Apache-2.0 */
#include "data/position_set.h"

#include "base/logging.h"

#include <stdlib.h>

enum { FIRST_ROOM = 16 };

void position_set_fini(position_set_t *set) {
    free(set->ranges);
    *set = (position_set_t){0};
}

void position_set_clear(position_set_t *set) {
    set->count = 0;
}

sgp_status_t position_set_reserve(position_set_t *set, size_t more) {
    if (more <= set->room - set->count) return SGP_OK;
    size_t needed = set->count + more, room = set->room > 0 ? set->room : FIRST_ROOM;
    if (room < needed) room = needed > 2 * room ? needed : 2 * room;
    position_range_t *ranges =
        room <= SIZE_MAX / sizeof *ranges ? realloc(set->ranges, room * sizeof *ranges) : NULL;
    if (!ranges)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu ranges of positions", needed);
    set->ranges = ranges;
    set->room = room;
    return SGP_OK;
}

sgp_status_t position_set_append(position_set_t *set, uint64_t first, uint64_t end) {
    if (first >= end) return SGP_OK;
    position_range_t *last = set->count > 0 ? &set->ranges[set->count - 1] : NULL;
    if (last && last->end == first) { /* the usual case: a node after the one of the rank before */
        last->end = end;
        return SGP_OK;
    }
    sgp_status_t status = position_set_reserve(set, 1);
    if (status) return status;
    set->ranges[set->count++] = (position_range_t){.first = first, .end = end};
    return SGP_OK;
}

sgp_status_t position_set_append_all(position_set_t *set, const position_set_t *from) {
    sgp_status_t status = position_set_reserve(set, from->count);
    for (size_t i = 0; i < from->count && !status; i++)
        status = position_set_append(set, from->ranges[i].first, from->ranges[i].end);
    return status;
}

static int compare(const void *a, const void *b) {
    const position_range_t *left = a, *right = b;
    return (left->first > right->first) - (left->first < right->first);
}

static void number(position_set_t *set) {
    uint64_t before = 0;
    for (size_t i = 0; i < set->count; i++) {
        set->ranges[i].before = before;
        before += set->ranges[i].end - set->ranges[i].first;
    }
}

void position_set_arrange(position_set_t *set) {
    size_t kept = 0;
    if (set->count > 1) qsort(set->ranges, set->count, sizeof *set->ranges, compare);
    for (size_t i = 0; i < set->count; i++) {
        position_range_t range = set->ranges[i];
        position_range_t *last = kept > 0 ? &set->ranges[kept - 1] : NULL;
        if (!last || range.first > last->end) set->ranges[kept++] = range;
        else if (range.end > last->end) last->end = range.end;
    }
    set->count = kept;
    number(set);
}

sgp_status_t position_set_subtract(position_set_t *set, const position_set_t *without) {
    position_set_t left = {0};
    size_t w = 0;
    sgp_status_t status = position_set_reserve(&left, set->count + without->count);
    for (size_t i = 0; i < set->count && !status; i++) {
        uint64_t first = set->ranges[i].first, end = set->ranges[i].end;
        while (w < without->count && without->ranges[w].end <= first) w++;
        for (size_t k = w; k < without->count && without->ranges[k].first < end && !status; k++) {
            status = position_set_append(&left, first, without->ranges[k].first);
            first = without->ranges[k].end;
        }
        if (!status) status = position_set_append(&left, first, end);
    }
    if (status) {
        position_set_fini(&left);
        return status;
    }
    number(&left);
    free(set->ranges);
    *set = left;
    return SGP_OK;
}

uint64_t position_set_total(const position_set_t *set) {
    if (set->count == 0) return 0;
    const position_range_t *last = &set->ranges[set->count - 1];
    return last->before + (last->end - last->first);
}

/* The range that has position number `index`. */
static size_t find(const position_set_t *set, uint64_t index) {
    size_t low = 0, high = set->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (set->ranges[middle].before <= index) low = middle;
        else high = middle;
    }
    return low;
}

uint64_t position_set_at(const position_set_t *set, uint64_t index) {
    const position_range_t *range = &set->ranges[find(set, index)];
    return range->first + (index - range->before);
}

sgp_status_t position_set_append_part(position_set_t *set, const position_set_t *from,
                                      uint64_t first, uint64_t end) {
    sgp_status_t status = SGP_OK;
    if (first >= end) return SGP_OK;
    for (size_t i = find(from, first); first < end && !status; i++) {
        const position_range_t *range = &from->ranges[i];
        uint64_t size = range->end - range->first, skip = first - range->before;
        uint64_t take = end - range->before < size ? end - range->before : size;
        status = position_set_append(set, range->first + skip, range->first + take);
        first = range->before + size;
    }
    return status;
}
