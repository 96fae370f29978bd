/* SPDX-License-Identifier: Apache-2.0 */
#include "run/times.h"

#include "base/constants.h"
#include "base/logging.h"
#include "run/presence.h"

#include <stdlib.h>
#include <string.h>

#define GATHER_STEPS (SGP_GATHER_BYTES / sizeof(float)) /* of one gather, at most */

sgp_status_t times_init(times_t *times, uint64_t steps) {
    *times = (times_t){.ms = malloc(steps * sizeof(float)), .capacity = steps};
    if (times->ms) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the times of %llu steps",
                    (unsigned long long)steps);
}

sgp_status_t times_reserve(times_t *times, uint64_t steps) {
    if (steps <= times->capacity) return SGP_OK;
    float *ms = realloc(times->ms, steps * sizeof *ms);
    if (!ms)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the times of %llu steps",
                        (unsigned long long)steps);
    times->ms = ms;
    times->capacity = steps;
    return SGP_OK;
}

void times_fini(times_t *times) {
    free(times->ms);
    times->ms = NULL;
}

static int compare(const void *a, const void *b) {
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

/* The smallest time that at least `percent` of all do not exceed. */
static double nearest_rank(const float *sorted, uint64_t count, uint64_t percent) {
    uint64_t rank = (count * percent + 99) / 100;
    return sorted[rank > 0 ? rank - 1 : 0];
}

times_summary_t times_quantiles(float *ms, uint64_t count) {
    double sum = 0;
    qsort(ms, count, sizeof *ms, compare);
    for (uint64_t i = 0; i < count; i++) sum += ms[i];
    return (times_summary_t){.mean = sum / (double)count,
                             .p50 = nearest_rank(ms, count, 50),
                             .p99 = nearest_rank(ms, count, 99)};
}

/* Moves the times of steps that were made together. all: (size, part); zeros of nodes that are absent, and of steps that were
 * passed over. Returns how many. */
static uint64_t leave_zeros_out(const sgp_group_t *group, float *all, uint64_t part) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < (uint64_t)sgp_group_capacity(group) * part; i++)
        if (presence_has(group, (int)(i / part)) && all[i] > 0) all[count++] = all[i];
    return count;
}

sgp_status_t times_gather(const times_t *times, sgp_group_t *group, times_summary_t *summary) {
    uint64_t size = (uint64_t)sgp_group_capacity(group);
    float *all = malloc(size * times->count * sizeof *all);
    if (!all)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the times of %llu steps of %llu nodes",
                        (unsigned long long)times->count, (unsigned long long)size);
    sgp_status_t status = SGP_OK;
    uint64_t found = 0;
    for (uint64_t done = 0; done < times->count && !status;) {
        uint64_t part = times->count - done < GATHER_STEPS ? times->count - done : GATHER_STEPS;
        /* Part after part, each of all nodes: the order of times does not matter. */
        status = sgp_group_gather(group, times->ms + done, part * sizeof *all, all + found);
        if (!status) found += leave_zeros_out(group, all + found, part);
        done += part;
    }
    if (!status) *summary = times_quantiles(all, found);
    free(all);
    return status;
}
