/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/slots/stores.h"

#include <stdatomic.h>

/* Chunks between trials of the other kind. A slow trial takes the time of seven other chunks: a
 * loss of 5 %. */
#define TRY_EVERY 128
/* Plain stores are given up once they take LEAVE times as long as the others, and used again below
 * RETURN times. At equal times plain ones are better, because the receiver finds the chunk in the
 * cache. A trial of plain stores among others finds its slot in no cache, and takes up to 1.8 times
 * as long even where plain ones are better. */
#define LEAVE  2.5
#define RETURN 2.0
/* A time follows its samples: down by a part of the difference, up by a part of itself at most. So
 * a chunk during which the process was interrupted counts as a slow one, whatever the length of the
 * interruption. */
#define RISE (1 + 1.0 / 4)
#define FALL (1.0 / 8)

static atomic_bool always_non_temporal;

void sgp_stores_always_non_temporal(bool always) {
    atomic_store(&always_non_temporal, always);
}

bool sgp_stores_begin(sgp_stores_t *stores, bool timed, uint64_t now) {
    if (atomic_load_explicit(&always_non_temporal, memory_order_relaxed)) return true;
    stores->begun = timed ? now : 0;
    stores->trying = timed && ++stores->chunks >= TRY_EVERY;
    if (stores->trying) stores->chunks = 0;
    return stores->non_temporal != stores->trying;
}

static void choose(sgp_stores_t *stores) {
    double plain = stores->time[0], non_temporal = stores->time[1];
    if (plain == 0 || non_temporal == 0) return;
    stores->non_temporal = plain > (stores->non_temporal ? RETURN : LEAVE) * non_temporal;
}

void sgp_stores_end(sgp_stores_t *stores, uint64_t now) {
    if (!stores->begun) return;
    double *time = &stores->time[stores->non_temporal != stores->trying];
    double sample = (double)(now - stores->begun);
    stores->begun = 0;
    if (*time == 0) *time = sample;
    else if (sample < *time) *time -= FALL * (*time - sample);
    else *time = sample < RISE * *time ? sample : RISE * *time;
    choose(stores);
}
