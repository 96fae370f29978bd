/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pace.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t median_of(const sgp_pace_t *pace) {
    uint64_t sorted[SGP_PACE_STEPS];
    uint32_t count = pace->count < SGP_PACE_STEPS ? pace->count : SGP_PACE_STEPS;
    memcpy(sorted, pace->times, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare);
    return sorted[count / 2];
}

static void note_time(sgp_pace_t *pace, uint64_t time) {
    pace->times[pace->count++ % SGP_PACE_STEPS] = time;
    if (pace->count % SGP_PACE_FIRST) return;
    uint64_t median = median_of(pace);
    atomic_store(&pace->median, median ? median : 1);
}

void sgp_pace_step(sgp_pace_t *pace, uint64_t step, uint64_t now) {
    if (pace->begun) note_time(pace, now - pace->begun);
    pace->begun = now;
    atomic_store(&pace->step, step);
    atomic_store(&pace->alive, now);
}

void sgp_pace_rest(sgp_pace_t *pace) {
    pace->begun = 0;
    atomic_store(&pace->alive, 0);
}

void sgp_pace_end_wait(sgp_pace_t *pace, uint64_t now) {
    if (atomic_load(&pace->alive)) atomic_store(&pace->alive, now);
    atomic_fetch_sub(&pace->waits, 1);
}

void sgp_pace_forgive(sgp_pace_t *pace, uint64_t late) {
    uint64_t alive = atomic_load(&pace->alive);
    if (alive) atomic_compare_exchange_strong(&pace->alive, &alive, alive + late);
}

bool sgp_pace_hangs(const sgp_pace_t *pace, uint64_t now, uint64_t stall) {
    uint64_t alive = atomic_load(&pace->alive), median = atomic_load(&pace->median);
    if (!alive || !median || now < alive || atomic_load(&pace->waits)) return false;
    uint64_t limit = SGP_PACE_TIMES * median;
    return now - alive > (limit > stall ? limit : stall);
}
