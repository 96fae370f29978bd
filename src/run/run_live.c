/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_live.h"

#include "base/clock.h"
#include "base/logging.h"
#include "base/thread.h"
#include "files/atomic_file.h"
#include "run/live_merge.h"
#include "run/pacing.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What is handed over. */
typedef struct job {
    uint64_t due_ns; /* not to be written before */
    int epoch;       /* from 1 */
    bool writes;     /* this process writes metrics.jsonl */
    double began;    /* seconds since 1970 at which second 0 of the training would have been */
    uint64_t count;
    metrics_record_t lines[METRICS_PER_EPOCH];
    float probes[METRICS_PER_EPOCH * PROBE_MAX];
    own_lines_recent_t recent; /* samples 0: no step */
    bool *there;               /* (size) */
    train_loss_t *losses;      /* (size), of which loss_count */
    int loss_count;
} job_t;

struct run_live {
    /* Of the steps. */
    uint64_t every_ns, next_ns;
    metrics_record_t sums; /* since the last job */
    uint64_t steps;
    double since; /* run_t.seconds then */

    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    bool pending, busy, ends;
    job_t *next; /* to be filled */

    /* Of the thread, or of anyone while it is not busy. */
    pthread_t thread;
    job_t *job; /* being written */
    size_t probe;
    const char *output;
    char name[OWN_LINES_NAME];
    own_lines_head_t head; /* of the file as it is; epoch 0: there is none */
    uint64_t written;      /* lines in it */
    bool failed;           /* nothing more is written */
    int workers;
    run_tensorboard_t *board; /* NULL: none. Borrowed */
    live_merge_t merge;
};

/* ---- the thread ---- */

/* Takes text (NULL: out of memory). */
static bool put(FILE *stream, char *text) {
    bool good = text && fputs(text, stream) >= 0;
    free(text);
    return good;
}

static bool put_lines(const struct run_live *live, FILE *stream, bool anew) {
    const job_t *job = live->job;
    const own_lines_head_t *head = &live->head;
    bool good = !anew || put(stream, own_lines_head_text(head));
    for (uint64_t i = anew ? 0 : live->written; i < job->count && good; i++)
        good = put(stream, own_lines_text(head, &job->lines[i], job->probes + i * live->probe,
                                          live->probe));
    if (good && job->recent.record.mean.samples > 0)
        good = put(stream, own_lines_recent_text(head, &job->recent, job->losses, job->loss_count));
    return good;
}

/* One write, so that a reader sees whole lines. */
static sgp_status_t write_own(struct run_live *live) {
    const job_t *job = live->job;
    bool anew = job->epoch != live->head.epoch || job->count < live->written;
    char *text = NULL;
    size_t length;
    FILE *stream = open_memstream(&text, &length);
    live->head.epoch = job->epoch;
    bool good = stream && put_lines(live, stream, anew);
    if (stream && fclose(stream) != 0) good = false;
    sgp_status_t status = SGP_OK;
    if (!good || !text) status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %s", live->name);
    else if (anew)
        status =
            atomic_file_replace(live->output, live->name, &(atomic_file_part_t){text, length}, 1);
    else status = atomic_file_grow(live->output, live->name, text, length);
    free(text);
    live->written = job->count;
    return status;
}

static sgp_status_t write_merged(struct run_live *live) {
    const job_t *job = live->job;
    metrics_epoch_t epoch = {.epoch = job->epoch};
    metrics_lines_t lines;
    sgp_status_t status = live_merge_look(&live->merge, job->epoch, job->there, &lines);
    if (status || lines.count == 0) return status;
    lines.workers = live->workers;
    status = metrics_write(&lines, live->output, &epoch, NULL);
    if (!status) live_merge_taken(&live->merge, &lines);
    if (!status && live->board)
        status = run_tensorboard_write_lines(live->board, &lines, job->began);
    metrics_release(&lines);
    return status;
}

static void work(struct run_live *live) {
    if (live->failed) return;
    sgp_status_t status = write_own(live);
    if (!status && live->job->writes) status = write_merged(live);
    if (!status) return;
    live->failed = true;
    sgp_log(SGP_LOG_WARNING, "metrics are written at the ends of epochs only from here on");
}

static void wait_for_job(struct run_live *live) {
    while (!live->ends && !live->pending) pthread_cond_wait(&live->wake, &live->lock);
    while (!live->ends && live->pending && live->next->due_ns > sgp_clock_now()) {
        uint64_t due = live->next->due_ns;
        struct timespec until = {.tv_sec = (time_t)(due / 1000000000u),
                                 .tv_nsec = (long)(due % 1000000000u)};
        pthread_cond_timedwait(&live->wake, &live->lock, &until);
    }
}

static void *body(void *argument) {
    struct run_live *live = argument;
    pthread_mutex_lock(&live->lock);
    while (!live->ends || live->pending) {
        wait_for_job(live);
        if (!live->pending) continue;
        job_t *job = live->next;
        live->next = live->job;
        live->job = job;
        live->pending = false;
        live->busy = true;
        pthread_mutex_unlock(&live->lock);
        work(live);
        pthread_mutex_lock(&live->lock);
        live->busy = false;
        pthread_cond_broadcast(&live->idle);
    }
    pthread_mutex_unlock(&live->lock);
    return NULL;
}

/* ---- the steps ---- */

void run_live_add(run_t *run, const metrics_step_t *step) {
    struct run_live *live = run->live;
    if (!live) return;
    metrics_step_t *sums = &live->sums.mean;
    sums->loss_sum += step->loss_sum;
    sums->samples += step->samples;
    sums->step_ms += step->step_ms;
    sums->gradient_ms += step->gradient_ms;
    sums->wait_ms += step->wait_ms;
    sums->lr = step->lr;
    sums->weight = step->weight;
    sums->seconds = step->seconds;
    live->sums.step = (double)run->step;
    live->steps++;
}

static void fill_recent(const struct run_live *live, own_lines_recent_t *recent) {
    double steps = (double)live->steps, span = live->sums.mean.seconds - live->since;
    recent->record = live->sums;
    recent->record.mean.step_ms /= steps;
    recent->record.mean.gradient_ms /= steps;
    recent->record.mean.wait_ms /= steps;
    recent->samples_per_second = recent->record.mean.samples / span;
    recent->time = pacing_wall_time();
}

static void fill_members(const run_t *run, job_t *job) {
    const run_losses_t *losses = &run->losses;
    job->loss_count = 0;
    for (int i = 0; i < run->size; i++) {
        bool lost = losses->noted && losses->noted[i].step > 0;
        job->there[i] = presence_has(run->group, i) && !lost;
        if (lost) job->losses[job->loss_count++] = losses->noted[i];
    }
}

/* Under the lock. */
static void hand_over(run_t *run, uint64_t epoch, uint64_t due_ns) {
    struct run_live *live = run->live;
    const metrics_t *metrics = &run->metrics;
    job_t *job = live->next;
    job->due_ns = due_ns;
    job->epoch = (int)epoch + 1;
    job->writes = run_writes(run) && run->writer == run->rank;
    job->count = metrics->count;
    memcpy(job->lines, metrics->lines, metrics->count * sizeof *metrics->lines);
    memcpy(job->probes, metrics->probes, metrics->count * live->probe * sizeof *metrics->probes);
    fill_recent(live, &job->recent);
    fill_members(run, job);
    job->began = job->recent.time - run->seconds;
    live->pending = true;
    pthread_cond_signal(&live->wake);
}

void run_live_after_step(run_t *run, uint64_t epoch) {
    struct run_live *live = run->live;
    if (!live) return;
    uint64_t now = sgp_clock_now();
    if (now < live->next_ns || pthread_mutex_trylock(&live->lock) != 0) return;
    hand_over(run, epoch, now);
    pthread_mutex_unlock(&live->lock);
    live->next_ns = now + live->every_ns;
    live->sums = (metrics_record_t){0};
    live->steps = 0;
    live->since = run->seconds;
}

void run_live_after_steps(run_t *run, uint64_t epoch) {
    struct run_live *live = run->live;
    if (!live) return;
    pthread_mutex_lock(&live->lock);
    hand_over(run, epoch, live->next_ns);
    pthread_mutex_unlock(&live->lock);
}

int run_live_settle(run_t *run, int epoch) {
    struct run_live *live = run->live;
    if (!live) return 0;
    pthread_mutex_lock(&live->lock);
    live->pending = false;
    while (live->busy) pthread_cond_wait(&live->idle, &live->lock);
    int taken = live->merge.epoch == epoch ? live->merge.taken : 0;
    pthread_mutex_unlock(&live->lock);
    return taken;
}

/* ---- beginning and end ---- */

static void free_job(job_t *job) {
    if (!job) return;
    free(job->there);
    free(job->losses);
    free(job);
}

static job_t *make_job(int size) {
    job_t *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    job->there = calloc((size_t)size, sizeof *job->there);
    job->losses = calloc((size_t)size, sizeof *job->losses);
    if (job->there && job->losses) return job;
    free_job(job);
    return NULL;
}

static void destroy(struct run_live *live) {
    live_merge_fini(&live->merge);
    free_job(live->next);
    free_job(live->job);
    pthread_cond_destroy(&live->wake);
    pthread_cond_destroy(&live->idle);
    pthread_mutex_destroy(&live->lock);
    free(live);
}

static void init_lock(struct run_live *live) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&live->lock, NULL);
    pthread_cond_init(&live->wake, &attributes);
    pthread_cond_init(&live->idle, NULL);
    pthread_condattr_destroy(&attributes);
}

static void fill_head(const run_t *run, own_lines_head_t *head) {
    *head = (own_lines_head_t){.process = run->rank,
                               .node = run->node,
                               .worker = run->worker,
                               .workers = run->options->workers > 1,
                               .pid = getpid(),
                               .every = run->options->metrics_seconds};
    memcpy(head->run_id, run->id, sizeof head->run_id);
    if (gethostname(head->host, sizeof head->host - 1) != 0 || !*head->host)
        strcpy(head->host, "?");
}

static sgp_status_t start(run_t *run, struct run_live *live) {
    const train_options_t *options = run->options;
    init_lock(live);
    live->every_ns = (uint64_t)(options->metrics_seconds * 1e9);
    live->next_ns = sgp_clock_now() + live->every_ns;
    live->since = run->seconds;
    live->probe = run->metrics.probe.count;
    live->output = options->output;
    live->workers = options->workers;
    live->board = options->tensorboard ? &run->tensorboard : NULL;
    own_lines_name(run->rank, live->name);
    fill_head(run, &live->head);
    live->next = make_job(run->size);
    live->job = make_job(run->size);
    if (!live->next || !live->job) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for metrics");
    sgp_status_t status = live_merge_init(&live->merge, run->size, options->output, run->id);
    int error = status ? 0 : sgp_thread_start(&live->thread, body, live);
    if (error) status = sgp_fail(SGP_ERR_SYSTEM, "no thread for metrics: %s", strerror(error));
    return status;
}

void run_live_start(run_t *run) {
    const train_options_t *options = run->options;
    if (!options->output || !(options->metrics_seconds > 0)) return;
    struct run_live *live = calloc(1, sizeof *live);
    if (!live) {
        sgp_log(SGP_LOG_WARNING, "no memory for metrics: they are written at the ends of epochs");
        return;
    }
    if (start(run, live) == SGP_OK) run->live = live;
    else destroy(live);
}

/* Of a run that ended early the lines go into this process's own file: whoever writes metrics.jsonl now, it is perhaps not this
 * one any more. What the disk or the memory has refused is not tried again. */
void run_live_stop(run_t *run, uint64_t epoch, sgp_status_t status) {
    struct run_live *live = run->live;
    if (!live) return;
    bool under_way = status && (run->metrics.count > 0 || run->metrics.open_steps > 0);
    bool refused = status == SGP_ERR_IO || status == SGP_ERR_NO_MEMORY;
    pthread_mutex_lock(&live->lock);
    live->pending = false;
    if (under_way && !refused && live->steps > 0) {
        hand_over(run, epoch, 0);
        live->next->writes = false;
    }
    live->ends = true;
    pthread_cond_signal(&live->wake);
    pthread_mutex_unlock(&live->lock);
    pthread_join(live->thread, NULL);
    if (!under_way && !refused) atomic_file_remove(live->output, live->name);
    run->live = NULL;
    destroy(live);
}
