/* SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"

#include "base/logging.h"
#include "base/memory.h"
#include "base/random.h"
#include "data/decoders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The random streams of the augmentation, one for each epoch; those below are the sampler's. */
#define AUGMENT_STREAM ((uint64_t)1 << 63)

enum { CHANNELS = 3, SLOTS = PIPELINE_AHEAD + 1, REASON = 160 };

/* The result of preparing a sample. */
typedef struct outcome {
    sgp_status_t status; /* of the last picture that was tried */
    int tries;           /* 1: its own picture is good */
    uint64_t own, used;  /* indices in the source */
    char reason[REASON]; /* why its own picture is bad */
} outcome_t;

/* The samples of a pass. */
typedef struct pass {
    source_split_t split;
    pipeline_order_t order;  /* of training */
    uint64_t key;            /* of the epoch's augmentation */
    uint64_t first, end;     /* steps; of a test, samples */
    uint64_t start, batches; /* the first batch, and the one behind the last */
} pass_t;

/* The memory of a decoder thread. */
typedef struct hand {
    picture_worker_t *worker;
    source_buffer_t buffer;
    uint64_t *ahead; /* (batch) indices of the samples that are to be read soon */
} hand_t;

struct pipeline {
    pipeline_options_t options;
    size_t floats; /* of a sample */
    decoders_t *decoders;
    hand_t *hands;       /* (threads) */
    float *images;       /* (SLOTS, batch, size, size, 3) */
    int32_t *labels;     /* (SLOTS, batch) */
    outcome_t *outcomes; /* (SLOTS, batch) */
    pass_t pass;
    uint64_t next; /* batch */
    int named;     /* bad pictures */
};

/* ---- which sample ---- */

/* A position of the epoch's permutation, or of the test set. */
static uint64_t position_of(const pipeline_t *pipeline, uint64_t batch, int sample) {
    const pass_t *pass = &pipeline->pass;
    if (pass->split == SOURCE_TEST)
        return pass->first + batch * (uint64_t)pipeline->options.batch + (uint64_t)sample;
    cursor_part_t part = sampler_part(pass->order.sampler, batch);
    return sampler_entry(pass->order.sampler, batch, &part, sample);
}

static uint64_t index_at(const pipeline_t *pipeline, uint64_t position) {
    const pass_t *pass = &pipeline->pass;
    if (pass->split == SOURCE_TEST) return position;
    uint64_t at = pass->order.first + sampler_at(pass->order.sampler, position);
    return pass->order.chosen ? pass->order.chosen[at] : at;
}

/* Behind the end of a test there is nothing to prepare. */
static bool is_sample(const pipeline_t *pipeline, uint64_t position) {
    return pipeline->pass.split == SOURCE_TRAIN || position < pipeline->pass.end;
}

/* Tells the source which samples the next batch has, when a batch is begun; at the first batch, its own too. */
static void read_ahead(pipeline_t *pipeline, hand_t *hand, uint64_t batch) {
    size_t count = 0;
    if (batch >= pipeline->pass.batches) return;
    for (int i = 0; i < pipeline->options.batch; i++) {
        uint64_t position = position_of(pipeline, batch, i);
        if (is_sample(pipeline, position)) hand->ahead[count++] = index_at(pipeline, position);
    }
    source_will_need(pipeline->options.source, pipeline->pass.split, hand->ahead, count);
}

/* ---- one sample, in a thread ---- */

static uint64_t random_of(const pass_t *pass, uint64_t position) {
    sgp_random_t random;
    sgp_random_init(&random, pass->key, position);
    return sgp_random_u64(&random);
}

/* reason: (REASON), set on failure. */
static sgp_status_t decode(const pipeline_t *pipeline, hand_t *hand, uint64_t index,
                           uint64_t random, float *out, char *reason) {
    const pipeline_options_t *options = &pipeline->options;
    source_buffer_t *buffer = &hand->buffer;
    sgp_status_t status = source_read(options->source, pipeline->pass.split, index, buffer);
    if (status) {
        snprintf(reason, REASON, "%s", buffer->reason);
        return status;
    }
    if (pipeline->pass.split == SOURCE_TRAIN && options->augment)
        status = picture_train(hand->worker, &options->picture, buffer->bytes, buffer->size, random,
                               out);
    else status = picture_test(hand->worker, &options->picture, buffer->bytes, buffer->size, out);
    if (status) snprintf(reason, REASON, "%s", picture_reason(hand->worker));
    return status;
}

/* What another picture may stand in for: neither a test sample nor a lack of memory. */
static bool may_replace(const pipeline_t *pipeline, sgp_status_t status) {
    return pipeline->options.skip_bad && pipeline->pass.split == SOURCE_TRAIN &&
           status != SGP_ERR_NO_MEMORY;
}

static size_t place_of(const pipeline_t *pipeline, uint64_t batch, int sample) {
    return (size_t)(batch % SLOTS) * (size_t)pipeline->options.batch + (size_t)sample;
}

static void prepare(void *context, int thread, uint64_t batch, int sample) {
    pipeline_t *pipeline = context;
    hand_t *hand = &pipeline->hands[thread];
    size_t place = place_of(pipeline, batch, sample);
    outcome_t *outcome = &pipeline->outcomes[place];
    uint64_t position = position_of(pipeline, batch, sample);
    uint64_t random = random_of(&pipeline->pass, position);
    outcome->status = SGP_OK;
    outcome->tries = 0;
    if (!is_sample(pipeline, position)) return;
    if (sample == 0 && batch == pipeline->pass.start) read_ahead(pipeline, hand, batch);
    if (sample == 0) read_ahead(pipeline, hand, batch + 1);
    char other[REASON];
    do {
        outcome->used = index_at(pipeline, position++);
        if (outcome->tries == 0) outcome->own = outcome->used;
        outcome->status = decode(pipeline, hand, outcome->used, random,
                                 pipeline->images + place * pipeline->floats,
                                 outcome->tries == 0 ? outcome->reason : other);
        outcome->tries++;
    } while (outcome->status && may_replace(pipeline, outcome->status) &&
             outcome->tries < PIPELINE_TRIES);
    pipeline->labels[place] =
        (int32_t)source_label(pipeline->options.source, pipeline->pass.split, outcome->used);
}

/* ---- passes ---- */

void pipeline_normalise(pipeline_t *pipeline, const float mean[3], const float deviation[3]) {
    memcpy(pipeline->options.picture.mean, mean, CHANNELS * sizeof *mean);
    memcpy(pipeline->options.picture.deviation, deviation, CHANNELS * sizeof *deviation);
}

void pipeline_reseed(pipeline_t *pipeline, uint64_t seed) {
    pipeline->options.seed = seed;
}

static void name_of(const pipeline_t *pipeline, uint64_t index, char name[SOURCE_NAME_BYTES]) {
    source_name(pipeline->options.source, pipeline->pass.split, index, name);
}

static sgp_status_t fail_stuck(const pipeline_t *pipeline, uint64_t batch, int sample) {
    char name[SOURCE_NAME_BYTES];
    name_of(pipeline, index_at(pipeline, position_of(pipeline, batch, sample)), name);
    return sgp_fail(SGP_ERR_IO,
                    "%s: reading it takes longer than %d s: its file system does not answer", name,
                    pipeline->options.patience_ms / 1000);
}

static sgp_status_t say_paused(const pipeline_t *pipeline, sgp_status_t status) {
    if (status == SGP_ERR_TIMEOUT)
        return sgp_fail(SGP_ERR_IO,
                        "reading a picture takes longer than %d s: its file system does not answer",
                        pipeline->options.patience_ms / 1000);
    if (status) return sgp_fail(status, "pictures are asked for in the child of a fork");
    return SGP_OK;
}

sgp_status_t pipeline_pause(pipeline_t *pipeline) {
    return say_paused(pipeline, decoders_begin(pipeline->decoders, 0, 0));
}

sgp_status_t pipeline_rest(pipeline_t *pipeline) {
    return say_paused(pipeline, decoders_rest(pipeline->decoders));
}

void pipeline_resume(pipeline_t *pipeline, uint64_t keep, uint64_t end) {
    if (keep < pipeline->next) keep = pipeline->next;
    pipeline->pass.batches = end;
    pipeline->pass.start = keep; /* nobody has told the source of its samples */
    decoders_resume(pipeline->decoders, keep, end);
}

/* The threads read the pass, so that it changes only while they rest. */
static sgp_status_t begin(pipeline_t *pipeline, const pass_t *pass) {
    sgp_status_t status = pipeline_pause(pipeline);
    if (status) return status;
    pipeline->pass = *pass;
    pipeline->next = pass->start;
    return decoders_begin(pipeline->decoders, pass->start, pass->batches);
}

sgp_status_t pipeline_train(pipeline_t *pipeline, const pipeline_order_t *order, uint64_t epoch,
                            uint64_t first, uint64_t end) {
    sgp_random_t random;
    sgp_random_init(&random, pipeline->options.seed, AUGMENT_STREAM + epoch);
    pass_t pass = {.split = SOURCE_TRAIN,
                   .order = *order,
                   .key = sgp_random_u64(&random),
                   .start = first,
                   .batches = end};
    return begin(pipeline, &pass);
}

sgp_status_t pipeline_test(pipeline_t *pipeline, uint64_t first, uint64_t end) {
    uint64_t batch = (uint64_t)pipeline->options.batch;
    pass_t pass = {.split = SOURCE_TEST,
                   .first = first,
                   .end = end,
                   .batches = (end - first + batch - 1) / batch};
    return begin(pipeline, &pass);
}

/* ---- a batch, for the caller ---- */

/* Names a sample that was replaced or left out. */
static void note_bad(pipeline_t *pipeline, const outcome_t *outcome) {
    char own[SOURCE_NAME_BYTES], used[SOURCE_NAME_BYTES];
    if (pipeline->named == PIPELINE_NAMED) return;
    const char *last = ++pipeline->named == PIPELINE_NAMED
                           ? "; further bad pictures are counted and not named"
                           : "";
    name_of(pipeline, outcome->own, own);
    name_of(pipeline, outcome->used, used);
    if (outcome->status) sgp_log(SGP_LOG_WARNING, "%s: %s: left out%s", own, outcome->reason, last);
    else sgp_log(SGP_LOG_WARNING, "%s: %s: replaced by %s%s", own, outcome->reason, used, last);
}

static sgp_status_t fail_bad(const pipeline_t *pipeline, const outcome_t *outcome) {
    char name[SOURCE_NAME_BYTES];
    name_of(pipeline, outcome->own, name);
    if (outcome->tries > 1)
        return sgp_fail(outcome->status, "%s: %s, and so on: %d pictures in a row are bad", name,
                        outcome->reason, outcome->tries);
    return sgp_fail(outcome->status, "%s: %s", name, outcome->reason);
}

/* Moves a good sample to the place behind those before it. */
static void keep(pipeline_t *pipeline, size_t from, size_t to) {
    if (from == to) return;
    memcpy(pipeline->images + to * pipeline->floats, pipeline->images + from * pipeline->floats,
           pipeline->floats * sizeof *pipeline->images);
    pipeline->labels[to] = pipeline->labels[from];
}

/* In the order of the samples, so that log and error are the same each time. own: of the samples, how many are
 * the node's; the others fill a training batch. Test samples that are bad are squeezed out. */
static sgp_status_t collect(pipeline_t *pipeline, int samples, int own, pipeline_batch_t *batch) {
    size_t base = place_of(pipeline, pipeline->next, 0);
    bool skips = pipeline->options.skip_bad;
    int good = 0;
    for (int i = 0; i < samples; i++) {
        const outcome_t *outcome = &pipeline->outcomes[base + (size_t)i];
        bool leaves = outcome->status && skips && pipeline->pass.split == SOURCE_TEST &&
                      outcome->status != SGP_ERR_NO_MEMORY;
        if (outcome->status && !leaves) return fail_bad(pipeline, outcome);
        if (i < own && (outcome->status || outcome->tries > 1)) {
            note_bad(pipeline, outcome);
            batch->bad++;
        }
        if (!outcome->status) keep(pipeline, base + (size_t)i, base + (size_t)good++);
    }
    batch->count = good;
    batch->valid = own < good ? own : good;
    batch->images = pipeline->images + base * pipeline->floats;
    batch->labels = pipeline->labels + base;
    return SGP_OK;
}

sgp_status_t pipeline_next(pipeline_t *pipeline, pipeline_batch_t *batch) {
    const pass_t *pass = &pipeline->pass;
    uint64_t stuck = 0;
    int sample = 0, samples = pipeline->options.batch, own = samples;
    sgp_status_t status = decoders_wait(pipeline->decoders, pipeline->next, &stuck, &sample);
    if (status == SGP_ERR_TIMEOUT) return fail_stuck(pipeline, stuck, sample);
    if (status) return sgp_fail(status, "a picture is asked for in the child of a fork");
    if (pass->split == SOURCE_TRAIN) own = sampler_part(pass->order.sampler, pipeline->next).count;
    else {
        uint64_t left = pass->end - position_of(pipeline, pipeline->next, 0);
        if (left < (uint64_t)samples) own = samples = (int)left;
    }
    *batch = (pipeline_batch_t){0};
    status = collect(pipeline, samples, own, batch);
    pipeline->next++;
    return status;
}

/* ---- making it ---- */

static size_t batch_bytes(size_t floats, int batch) {
    return (size_t)batch * (floats * sizeof(float) + sizeof(int32_t) + sizeof(outcome_t));
}

size_t pipeline_memory_bytes(int size, int batch) {
    return SLOTS * batch_bytes((size_t)size * (size_t)size * CHANNELS, batch);
}

static sgp_status_t make_hands(pipeline_t *pipeline) {
    for (int i = 0; i < pipeline->options.threads; i++) {
        hand_t *hand = &pipeline->hands[i];
        hand->ahead = calloc((size_t)pipeline->options.batch, sizeof *hand->ahead);
        if (!hand->ahead || picture_worker_create(PIPELINE_PICTURE_BYTES, &hand->worker))
            return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for decoder %d", i + 1);
    }
    return SGP_OK;
}

static sgp_status_t make(pipeline_t *pipeline) {
    const pipeline_options_t *options = &pipeline->options;
    size_t samples = SLOTS * (size_t)options->batch;
    pipeline->hands = calloc((size_t)options->threads, sizeof *pipeline->hands);
    pipeline->images = sgp_memory_alloc(samples * pipeline->floats * sizeof *pipeline->images);
    pipeline->labels = calloc(samples, sizeof *pipeline->labels);
    pipeline->outcomes = calloc(samples, sizeof *pipeline->outcomes);
    if (!pipeline->hands || !pipeline->images || !pipeline->labels || !pipeline->outcomes)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d batches of %d pictures", SLOTS,
                        options->batch);
    sgp_status_t status = make_hands(pipeline);
    if (status) return status;
    return decoders_create(&(decoders_options_t){.threads = options->threads,
                                                 .slots = SLOTS,
                                                 .samples = options->batch,
                                                 .prepare = prepare,
                                                 .context = pipeline,
                                                 .patience_ms = options->patience_ms},
                           &pipeline->decoders);
}

sgp_status_t pipeline_create(const pipeline_options_t *options, pipeline_t **pipeline) {
    pipeline_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a pipeline");
    made->options = *options;
    made->floats = (size_t)options->picture.size * (size_t)options->picture.size * CHANNELS;
    if (made->options.patience_ms == 0) made->options.patience_ms = PIPELINE_PATIENCE_MS;
    sgp_status_t status = make(made);
    if (status) pipeline_destroy(made);
    else *pipeline = made;
    return status;
}

/* Also after a failed create: what was not made is NULL. */
bool pipeline_destroy(pipeline_t *pipeline) {
    if (!pipeline) return true;
    if (!decoders_destroy(pipeline->decoders)) return false;
    for (int i = 0; pipeline->hands && i < pipeline->options.threads; i++) {
        picture_worker_destroy(pipeline->hands[i].worker);
        source_buffer_fini(&pipeline->hands[i].buffer);
        free(pipeline->hands[i].ahead);
    }
    free(pipeline->hands);
    free(pipeline->outcomes);
    free(pipeline->labels);
    sgp_memory_free(pipeline->images);
    free(pipeline);
    return true;
}
