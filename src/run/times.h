/* SPDX-License-Identifier: Apache-2.0 */
/* The time of each step of a run, on this node, and its statistics over all nodes. */
#ifndef SGP_RUN_TIMES_H
#define SGP_RUN_TIMES_H

#include <sgp/group.h>

/* Embedded; fields are private. */
typedef struct times {
    float *ms;         /* (capacity) */
    uint64_t capacity; /* steps of the run */
    uint64_t count;
} times_t;

typedef struct times_summary {
    double mean, p50, p99; /* milliseconds, over all steps of all nodes */
} times_summary_t;

/* SGP_ERR_NO_MEMORY: there is nothing to finish. */
sgp_status_t times_init(times_t *times, uint64_t steps);
void times_fini(times_t *times);

/* Room for as many steps. SGP_ERR_NO_MEMORY, logged; nothing changed. */
sgp_status_t times_reserve(times_t *times, uint64_t steps);

/* At most as many times as there is room for; allocates nothing. ms: 0: the step was passed over. */
static inline void times_add(times_t *times, double ms) {
    times->ms[times->count++] = (float)ms;
}

/* Mean and nearest-rank quantiles of ms (count), count >= 1, which is sorted. */
times_summary_t times_quantiles(float *ms, uint64_t count);

/* The same over all nodes that are there, which call it with equal counts, without the steps that were passed over. Blocks as sgp_group_gather, several
 * times for a long run. */
sgp_status_t times_gather(const times_t *times, sgp_group_t *group, times_summary_t *summary);

#endif
