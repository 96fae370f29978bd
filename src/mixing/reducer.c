/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/reducer.h"

#include "base/logging.h"
#include "base/memory.h"

#include <stdlib.h>

sgp_segment_t sgp_segment_of(size_t length, int rank, int size) {
    size_t lines = (length + 15) / 16, n = (size_t)size, r = (size_t)rank;
    size_t begin = lines * r / n * 16, end = lines * (r + 1) / n * 16;
    return (sgp_segment_t){begin < length ? begin : length, end < length ? end : length};
}

bool sgp_reducer_has(const sgp_reducer_t *reducer, int rank) {
    return !reducer->place || reducer->place[rank] >= 0;
}

bool sgp_reducer_has_member(const sgp_reducer_t *reducer, int rank) {
    if (!reducer->place) return true;
    return reducer->place[rank] >= 0 &&
           reducer->incarnations[rank] == sgp_fates_incarnation(reducer->transport->fates, rank);
}

/* In the order rank + 1, rank + 2, ... One that is cut off, and that the others go on without, would take their means for its
 * own. */
static void list_others(sgp_reducer_t *reducer) {
    reducer->others = 0;
    for (int i = 1; i < reducer->size; i++) {
        int other = reducer->owners[i].dst;
        if (sgp_reducer_has(reducer, other))
            reducer->everyone[reducer->others++] = (sgp_destination_t){.dst = other, .weight = 1};
    }
}

sgp_status_t sgp_reducer_init(sgp_reducer_t *reducer, sgp_group_t *group, size_t length) {
    sgp_transport_t *transport = sgp_group_transport(group);
    size_t size = (size_t)transport->capacity, rank = (size_t)sgp_group_rank(group);
    *reducer = (sgp_reducer_t){.group = group,
                               .inbox = sgp_group_inbox(group),
                               .transport = transport,
                               .rank = (int)rank,
                               .size = (int)size,
                               .length = length};
    size_t chunk = reducer->transport->chunk_bytes / sizeof(uint16_t); /* of the most numbers */
    reducer->owners = calloc(size, sizeof *reducer->owners);
    reducer->everyone = calloc(size, sizeof *reducer->everyone);
    reducer->sends = calloc(size, sizeof *reducer->sends);
    reducer->scratch = sgp_memory_alloc(chunk * sizeof *reducer->scratch);
    reducer->mean = sgp_memory_alloc(chunk * sizeof *reducer->mean);
    reducer->sums = sgp_memory_alloc(chunk * sizeof *reducer->sums);
    if (reducer->transport->elastic) {
        reducer->place = calloc(size, sizeof *reducer->place);
        reducer->incarnations = calloc(size, sizeof *reducer->incarnations);
    }
    if (!reducer->owners || !reducer->everyone || !reducer->sends || !reducer->scratch ||
        !reducer->mean || !reducer->sums ||
        (reducer->transport->elastic && !(reducer->place && reducer->incarnations))) {
        sgp_reducer_fini(reducer);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory to average over %zu nodes", size);
    }
    for (size_t i = 1; i < size; i++) {
        int other = (int)((rank + i) % size);
        reducer->owners[i].dst = other;
    }
    reducer->takes_part = reducer->place ? 0 : (int)size;
    for (size_t r = 0; reducer->place && r < size; r++) {
        bool absent = sgp_fates_of(transport->fates, (int)r).state == SGP_FATE_ABSENT;
        reducer->place[r] = absent ? -1 : reducer->takes_part++;
        reducer->incarnations[r] = sgp_fates_incarnation(transport->fates, (int)r);
    }
    list_others(reducer);
    return SGP_OK;
}

void sgp_reducer_take_part(sgp_reducer_t *reducer, const bool *there) {
    reducer->takes_part = 0;
    for (int r = 0; r < reducer->size; r++) {
        uint32_t incarnation = sgp_fates_incarnation(reducer->transport->fates, r);
        reducer->changed |= sgp_reducer_has_member(reducer, r) != there[r];
        reducer->place[r] = there[r] ? reducer->takes_part++ : -1;
        reducer->incarnations[r] = incarnation;
    }
    list_others(reducer);
}

void sgp_reducer_fini(sgp_reducer_t *reducer) {
    free(reducer->owners);
    free(reducer->everyone);
    free(reducer->sends);
    free(reducer->place);
    free(reducer->incarnations);
    sgp_memory_free(reducer->scratch);
    sgp_memory_free(reducer->mean);
    sgp_memory_free(reducer->sums);
    *reducer = (sgp_reducer_t){0};
}

sgp_segment_t sgp_reducer_segment(const sgp_reducer_t *reducer, int rank) {
    if (!reducer->place) return sgp_segment_of(reducer->length, rank, reducer->size);
    if (!sgp_reducer_has(reducer, rank)) return (sgp_segment_t){0, 0};
    return sgp_segment_of(reducer->length, reducer->place[rank], reducer->takes_part);
}

bool sgp_reducer_is_broken(const sgp_reducer_t *reducer) {
    sgp_fates_t *fates = reducer->transport->fates;
    if (!reducer->place || sgp_fates_changes(fates) == 0) return false;
    for (int r = 0; r < reducer->size; r++)
        if (sgp_reducer_has(reducer, r) &&
            (sgp_fates_of(fates, r).state != SGP_FATE_PRESENT ||
             sgp_fates_incarnation(fates, r) != reducer->incarnations[r]))
            return true;
    return false;
}
