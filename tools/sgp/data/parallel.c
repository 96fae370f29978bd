/* SPDX-License-Identifier: Apache-2.0 */
#include "data/parallel.h"
#include "cli/exit_status.h"
#include "cli/interrupt.h"
#include "cli/message.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_EVERY (200 * SGP_MILLISECOND) /* at the progress and at Ctrl-C */

struct parallel {
    const parallel_options_t *options;
    atomic_uint_fast64_t next, done; /* items, samples */
    atomic_int status;               /* of the first failure */
    atomic_bool stop;
    atomic_int threads_started;
    pthread_mutex_t lock;
    pthread_cond_t ended; /* a thread */
    int running;          /* threads */
};

int parallel_threads(const parallel_options_t *options) {
    cpu_set_t cpus;
    int threads = options->threads;
    if (threads == 0 && sched_getaffinity(0, sizeof cpus, &cpus) == 0) threads = CPU_COUNT(&cpus);
    if (threads < 1) threads = 1;
    if (threads > PARALLEL_MOST_THREADS) threads = PARALLEL_MOST_THREADS;
    return (uint64_t)threads > options->items ? (int)options->items : threads;
}

bool parallel_advance(parallel_t *parallel, uint64_t samples) {
    atomic_fetch_add(&parallel->done, samples);
    return !atomic_load(&parallel->stop);
}

static void *work(void *argument) {
    parallel_t *parallel = argument;
    const parallel_options_t *options = parallel->options;
    int thread = atomic_fetch_add(&parallel->threads_started, 1);
    while (!atomic_load(&parallel->stop)) {
        uint64_t item = atomic_fetch_add(&parallel->next, 1);
        if (item >= options->items) break;
        int status = options->body(options->context, parallel, thread, item), none = 0;
        if (status == 0) continue;
        atomic_compare_exchange_strong(&parallel->status, &none, status);
        atomic_store(&parallel->stop, true);
    }
    pthread_mutex_lock(&parallel->lock);
    parallel->running--;
    pthread_cond_signal(&parallel->ended);
    pthread_mutex_unlock(&parallel->lock);
    return NULL;
}

static void show(parallel_t *parallel, uint64_t begun) {
    const parallel_options_t *options = parallel->options;
    char text[160];
    uint64_t done = atomic_load(&parallel->done);
    double seconds = (double)(sgp_clock_now() - begun) / (double)SGP_SECOND;
    if (options->quiet || !message_is_terminal()) return;
    snprintf(text, sizeof text, "%s: %llu of %llu pictures, %.0f/s", options->about,
             (unsigned long long)done, (unsigned long long)options->samples,
             seconds > 0 ? (double)done / seconds : 0);
    message_progress(text);
}

/* Until all threads have ended. */
static void wait_for_threads(parallel_t *parallel) {
    uint64_t begun = sgp_clock_now();
    pthread_mutex_lock(&parallel->lock);
    while (parallel->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        uint64_t at = (uint64_t)until.tv_nsec + LOOK_EVERY;
        until.tv_sec += (time_t)(at / SGP_SECOND);
        until.tv_nsec = (long)(at % SGP_SECOND);
        pthread_cond_timedwait(&parallel->ended, &parallel->lock, &until);
        if (interrupt_signal) atomic_store(&parallel->stop, true);
        pthread_mutex_unlock(&parallel->lock);
        show(parallel, begun);
        pthread_mutex_lock(&parallel->lock);
    }
    pthread_mutex_unlock(&parallel->lock);
    if (!parallel->options->quiet && message_is_terminal()) message_progress(NULL);
}

int parallel_run(const parallel_options_t *options) {
    pthread_t threads[PARALLEL_MOST_THREADS];
    parallel_t parallel = {.options = options};
    int wanted = parallel_threads(options), started = 0;
    pthread_mutex_init(&parallel.lock, NULL);
    pthread_cond_init(&parallel.ended, NULL);
    parallel.running = wanted;
    for (; started < wanted; started++) {
        int error = sgp_thread_start(&threads[started], work, &parallel);
        if (error == 0) continue;
        message_error("%s: thread %d of %d cannot be started: %s", options->about, started + 1,
                      wanted, strerror(error));
        atomic_store(&parallel.status, EXIT_FAILED);
        atomic_store(&parallel.stop, true);
        break;
    }
    pthread_mutex_lock(&parallel.lock);
    parallel.running -= wanted - started;
    pthread_mutex_unlock(&parallel.lock);
    wait_for_threads(&parallel);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    pthread_cond_destroy(&parallel.ended);
    pthread_mutex_destroy(&parallel.lock);
    int status = atomic_load(&parallel.status);
    if (status || !interrupt_signal) return status;
    message_error("%s: stopped (%s)", options->about, strsignal(interrupt_signal));
    return 128 + interrupt_signal;
}
