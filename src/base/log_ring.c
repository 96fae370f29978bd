/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_ring.h"

#include "base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { TRIES = 100 /* a reader copies for microseconds */ };

static atomic_int holders;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the fields below */
static sgp_log_kept_t kept[SGP_LOG_RING_LINES];
static size_t added; /* so far */

void sgp_log_ring_hold(void) {
    pthread_mutex_lock(&lock);
    if (atomic_fetch_add(&holders, 1) == 0) added = 0;
    pthread_mutex_unlock(&lock);
}

void sgp_log_ring_release(void) {
    atomic_fetch_sub(&holders, 1);
}

bool sgp_log_ring_takes(sgp_log_level_t level) {
    return level <= SGP_LOG_INFO && atomic_load_explicit(&holders, memory_order_relaxed) > 0;
}

static bool try_lock(void) {
    for (int i = 0; i < TRIES; i++) {
        if (pthread_mutex_trylock(&lock) == 0) return true;
        sched_yield();
    }
    return false;
}

void sgp_log_ring_add(sgp_log_level_t level, const char *text) {
    if (!sgp_log_ring_takes(level) || !try_lock()) return;
    sgp_log_kept_t *line = &kept[added++ % SGP_LOG_RING_LINES];
    size_t length = strnlen(text, sizeof line->text - 1);
    *line = (sgp_log_kept_t){.time = sgp_clock_now(), .level = level};
    memcpy(line->text, text, length);
    pthread_mutex_unlock(&lock);
}

size_t sgp_log_ring_read(sgp_log_kept_t lines[SGP_LOG_RING_LINES]) {
    pthread_mutex_lock(&lock);
    size_t count = added < SGP_LOG_RING_LINES ? added : SGP_LOG_RING_LINES;
    for (size_t i = 0; i < count; i++) lines[i] = kept[(added - count + i) % SGP_LOG_RING_LINES];
    pthread_mutex_unlock(&lock);
    return count;
}
