/* SPDX-License-Identifier: Apache-2.0 */
#include "data/decoders.h"

#include "base/fork.h"
#include "base/logging.h"
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { LEAVING_MS = 10000, UNUSED = -1 };

/* A thread and what it is at. */
typedef struct decoder {
    decoders_t *all;
    pthread_t thread;
    int index;
    int sample; /* UNUSED: none */
    uint64_t batch;
} decoder_t;

struct decoders {
    decoders_options_t options;
    sgp_fork_hook_t hook;
    atomic_bool child;    /* of a fork */
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t work;  /* there is something to prepare, or the end */
    pthread_cond_t done;  /* a sample is finished, or a thread has ended */
    bool ending;
    int alive, busy;   /* threads */
    uint64_t finished; /* samples, ever */
    uint64_t batch;    /* the next sample to prepare: of this batch */
    int sample;
    uint64_t held, end;   /* the pass: the batch that the caller holds or waits for, and its end */
    int *left;            /* (slots) samples that are not finished */
    decoder_t decoders[]; /* (threads) */
};

static struct timespec deadline(int ms) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
    return at;
}

static int *left_of(decoders_t *all, uint64_t batch) {
    return &all->left[batch % (uint64_t)all->options.slots];
}

/* ---- the threads ---- */

static bool has_work(const decoders_t *all) {
    return all->batch < all->end && all->batch - all->held < (uint64_t)all->options.slots;
}

static void claim(decoder_t *own) {
    decoders_t *all = own->all;
    own->batch = all->batch;
    own->sample = all->sample++;
    all->busy++;
    if (all->sample < all->options.samples) return;
    all->sample = 0;
    all->batch++;
}

/* The lock is held, here and after it. */
static void prepare(decoder_t *own) {
    decoders_t *all = own->all;
    claim(own);
    pthread_mutex_unlock(&all->lock);
    all->options.prepare(all->options.context, own->index, own->batch, own->sample);
    pthread_mutex_lock(&all->lock);
    own->sample = UNUSED;
    all->busy--;
    all->finished++;
    --*left_of(all, own->batch);
    pthread_cond_signal(&all->done);
}

static void *decoder_main(void *argument) {
    decoder_t *own = argument;
    decoders_t *all = own->all;
    pthread_mutex_lock(&all->lock);
    while (!all->ending) {
        if (has_work(all)) prepare(own);
        else pthread_cond_wait(&all->work, &all->lock);
    }
    all->alive--;
    pthread_cond_signal(&all->done);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

/* ---- the owner ---- */

/* The lock is held. SGP_ERR_TIMEOUT: nothing was finished within the patience. */
static sgp_status_t wait_for_progress(decoders_t *all, int patience_ms) {
    struct timespec until = deadline(patience_ms);
    uint64_t finished = all->finished;
    int alive = all->alive, error = 0;
    while (all->finished == finished && all->alive == alive && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&all->done, &all->lock, &until);
    return all->finished == finished && all->alive == alive ? SGP_ERR_TIMEOUT : SGP_OK;
}

static void in_child(void *context) {
    decoders_t *all = context;
    atomic_store(&all->child, true);
}

static void init_waits(decoders_t *all) {
    pthread_condattr_t monotonic;
    pthread_mutex_init(&all->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&all->work, NULL);
    pthread_cond_init(&all->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static sgp_status_t start(decoders_t *all) {
    for (int i = 0; i < all->options.threads; i++) {
        decoder_t *decoder = &all->decoders[i];
        *decoder = (decoder_t){.all = all, .index = i, .sample = UNUSED};
        if (sgp_thread_start(&decoder->thread, decoder_main, decoder))
            return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for decoder thread %d of %d", i + 1,
                            all->options.threads);
        pthread_mutex_lock(&all->lock);
        all->alive++;
        pthread_mutex_unlock(&all->lock);
    }
    return SGP_OK;
}

sgp_status_t decoders_create(const decoders_options_t *options, decoders_t **decoders) {
    size_t threads = (size_t)options->threads;
    decoders_t *all = calloc(1, sizeof *all + threads * sizeof *all->decoders);
    int *left = calloc((size_t)options->slots, sizeof *left);
    if (!all || !left) {
        free(all);
        free(left);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu decoder threads", threads);
    }
    all->options = *options;
    all->left = left;
    init_waits(all);
    sgp_fork_add_hook(&all->hook, in_child, all);
    sgp_status_t status = start(all);
    if (status) decoders_destroy(all);
    else *decoders = all;
    return status;
}

/* Returns whether all have ended. */
static bool end_threads(decoders_t *all) {
    int patience = all->options.patience_ms < LEAVING_MS ? all->options.patience_ms : LEAVING_MS;
    sgp_status_t status = SGP_OK;
    pthread_mutex_lock(&all->lock);
    int started = all->alive;
    all->ending = true;
    pthread_cond_broadcast(&all->work);
    while (all->alive > 0 && !status) status = wait_for_progress(all, patience);
    pthread_mutex_unlock(&all->lock);
    for (int i = 0; i < started && !status; i++) pthread_join(all->decoders[i].thread, NULL);
    return status == SGP_OK;
}

bool decoders_destroy(decoders_t *decoders) {
    if (!decoders) return true;
    sgp_fork_remove_hook(&decoders->hook);
    bool child = atomic_load(&decoders->child);
    if (!child && !end_threads(decoders)) {
        sgp_log(SGP_LOG_WARNING,
                "a thread that reads a picture does not come back; it is left behind");
        return false;
    }
    if (!child) { /* where another thread may have held it when the process was forked */
        pthread_cond_destroy(&decoders->done);
        pthread_cond_destroy(&decoders->work);
        pthread_mutex_destroy(&decoders->lock);
    }
    free(decoders->left);
    free(decoders);
    return true;
}

/* The lock is held. */
static sgp_status_t rest(decoders_t *decoders) {
    sgp_status_t status = SGP_OK;
    decoders->end = decoders->batch; /* no thread begins another sample of the old pass */
    while (decoders->busy > 0 && !status)
        status = wait_for_progress(decoders, decoders->options.patience_ms);
    return status;
}

sgp_status_t decoders_begin(decoders_t *decoders, uint64_t first, uint64_t end) {
    if (atomic_load(&decoders->child)) return SGP_ERR_INVALID;
    pthread_mutex_lock(&decoders->lock);
    sgp_status_t status = rest(decoders);
    if (!status) {
        decoders->batch = decoders->held = first;
        decoders->end = end;
        decoders->sample = 0;
        for (int i = 0; i < decoders->options.slots; i++)
            decoders->left[i] = decoders->options.samples;
        pthread_cond_broadcast(&decoders->work);
    }
    pthread_mutex_unlock(&decoders->lock);
    return status;
}

sgp_status_t decoders_rest(decoders_t *decoders) {
    if (atomic_load(&decoders->child)) return SGP_ERR_INVALID;
    pthread_mutex_lock(&decoders->lock);
    sgp_status_t status = rest(decoders);
    pthread_mutex_unlock(&decoders->lock);
    return status;
}

void decoders_resume(decoders_t *decoders, uint64_t keep, uint64_t end) {
    pthread_mutex_lock(&decoders->lock);
    /* A batch of which no sample was begun does not have its slot yet. */
    uint64_t begun = decoders->batch + (decoders->sample > 0);
    for (uint64_t batch = keep; batch < begun; batch++)
        *left_of(decoders, batch) = decoders->options.samples;
    if (keep < begun) {
        decoders->batch = keep;
        decoders->sample = 0;
    }
    decoders->end = end;
    pthread_cond_broadcast(&decoders->work);
    pthread_mutex_unlock(&decoders->lock);
}

/* The slots of the batches up to `batch` are free again. */
static void hold(decoders_t *decoders, uint64_t batch) {
    if (decoders->held == batch) return;
    for (; decoders->held < batch; decoders->held++)
        *left_of(decoders, decoders->held) = decoders->options.samples;
    pthread_cond_broadcast(&decoders->work);
}

static void find_unfinished(const decoders_t *decoders, uint64_t *batch, int *sample) {
    for (int i = 0; i < decoders->options.threads; i++) {
        if (decoders->decoders[i].sample == UNUSED) continue;
        *batch = decoders->decoders[i].batch;
        *sample = decoders->decoders[i].sample;
        return;
    }
}

sgp_status_t decoders_wait(decoders_t *decoders, uint64_t batch, uint64_t *batch_of_sample,
                           int *sample) {
    if (atomic_load(&decoders->child)) return SGP_ERR_INVALID;
    sgp_status_t status = SGP_OK;
    pthread_mutex_lock(&decoders->lock);
    hold(decoders, batch);
    while (*left_of(decoders, batch) > 0 && !status)
        status = wait_for_progress(decoders, decoders->options.patience_ms);
    if (status) find_unfinished(decoders, batch_of_sample, sample);
    pthread_mutex_unlock(&decoders->lock);
    return status;
}
