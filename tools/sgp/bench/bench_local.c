/* SPDX-License-Identifier: Apache-2.0 */
/* The local work of a node: gradients, and passes over a large vector. All nodes measure at the
 * same time, because those of one machine share its cores and its memory. */
#include "bench/bench.h"

#include "base/clock.h"
#include "base/logging.h"
#include "base/memory.h"
#include "base/random.h"
#include "mixing/kernels.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 5, FEWEST = 20, MOST = 2000 };

#define ENOUGH ((uint64_t)2000000000) /* nanoseconds of gradients */

/* A large network takes seconds per gradient: a few of them do, as many as there are in this time. */
enum { FEWEST_SLOW = 3 };
#define SLOW ((uint64_t)30000000000) /* nanoseconds */

typedef struct batch {
    model_t *model;
    float *parameters, *buffers, *gradient, *images;
    int32_t *labels;
} batch_t;

static sgp_status_t create_batch(const bench_work_t *work, batch_t *batch) {
    model_options_t options = {.name = work->model, .batch = work->batch_size};
    model_usual_images(&options);
    sgp_status_t status = model_create(&options, &batch->model);
    if (status != SGP_OK) return status;
    size_t samples = (size_t)work->batch_size, side = (size_t)options.height;
    size_t pixels = samples * side * side * (size_t)options.channels;
    size_t count = model_parameter_count(batch->model);
    batch->parameters = sgp_memory_alloc(count * sizeof(float));
    batch->gradient = sgp_memory_alloc(count * sizeof(float));
    batch->buffers = sgp_memory_alloc(model_buffer_count(batch->model) * sizeof(float));
    batch->images = sgp_memory_alloc(pixels * sizeof(float));
    batch->labels = sgp_memory_alloc(samples * sizeof(int32_t));
    if (!batch->parameters || !batch->gradient || !batch->buffers || !batch->images ||
        !batch->labels)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a batch of %zu", samples);
    model_init_parameters(batch->model, 1, batch->parameters, batch->buffers);
    sgp_random_t random;
    sgp_random_init(&random, 1, 0);
    for (size_t i = 0; i < pixels; i++) batch->images[i] = (float)sgp_random_normal(&random);
    for (size_t i = 0; i < samples; i++)
        batch->labels[i] = (int32_t)sgp_random_below(&random, (uint64_t)options.classes);
    return SGP_OK;
}

static void destroy_batch(batch_t *batch) {
    model_destroy(batch->model);
    sgp_memory_free(batch->parameters);
    sgp_memory_free(batch->gradient);
    sgp_memory_free(batch->buffers);
    sgp_memory_free(batch->images);
    sgp_memory_free(batch->labels);
}

static bool has_enough(int steps, uint64_t spent) {
    return steps >= FEWEST ? spent > ENOUGH : steps >= FEWEST_SLOW && spent > SLOW;
}

static sgp_status_t measure_gradient(const bench_work_t *work, batch_t *batch,
                                     bench_local_t *found) {
    double sum = 0, squares = 0;
    uint64_t begin = sgp_clock_now();
    int steps = 0;
    for (int i = -WARM_UP; steps < MOST; i++) {
        model_result_t result;
        uint64_t start = sgp_clock_now();
        if (has_enough(steps, start - begin)) break;
        sgp_status_t status = model_train(batch->model, batch->parameters, batch->buffers,
                                          batch->images, batch->labels, work->batch_size,
                                          work->batch_size, batch->gradient, &result);
        double seconds = (double)(sgp_clock_now() - start) * 1e-9;
        if (status != SGP_OK) return status;
        if (i < 0) continue;
        steps++;
        sum += seconds;
        squares += seconds * seconds;
    }
    found->gradient = sum / steps;
    found->gradient_variance = fmax(0, squares / steps - found->gradient * found->gradient);
    return SGP_OK;
}

static sgp_status_t gradient(const bench_work_t *work, bench_local_t *found) {
    batch_t batch = {0};
    sgp_status_t status = create_batch(work, &batch);
    if (status == SGP_OK) {
        found->parameters = (double)model_parameter_count(batch.model);
        status = measure_gradient(work, &batch, found);
    }
    destroy_batch(&batch);
    return status;
}

/* ---- passes over memory ---- */

typedef enum pass { UPDATE, COPY, ABSORB, PASSES } pass_t;

typedef struct vectors {
    size_t count;
    float *z, *other; /* (count) */
    sgp_optimizer_t *optimizer;
} vectors_t;

static void make_pass(const vectors_t *vectors, pass_t pass) {
    size_t count = vectors->count;
    if (pass == UPDATE) sgp_optimizer_step(vectors->optimizer, vectors->z, vectors->other, 1e-6f);
    else if (pass == COPY) memcpy(vectors->other, vectors->z, count * sizeof(float));
    else sgp_absorb(count, vectors->z, vectors->other, 0.5f);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of several passes, after one that touches all pages. */
static double time_pass(const vectors_t *vectors, pass_t pass) {
    enum { TIMES = 7 };
    double seconds[TIMES];
    for (int i = -1; i < TIMES; i++) {
        uint64_t start = sgp_clock_now();
        make_pass(vectors, pass);
        if (i >= 0) seconds[i] = (double)(sgp_clock_now() - start) * 1e-9;
    }
    qsort(seconds, TIMES, sizeof *seconds, compare);
    return seconds[TIMES / 2];
}

static sgp_status_t passes(sgp_group_t *group, const bench_work_t *work, bench_local_t *found) {
    vectors_t vectors = {.count = work->numbers,
                         .z = sgp_memory_alloc(work->numbers * sizeof(float)),
                         .other = sgp_memory_alloc(work->numbers * sizeof(float))};
    double *const seconds[PASSES] = {&found->update, &found->copy, &found->absorb};
    sgp_status_t status = sgp_optimizer_create(
        &(sgp_optimizer_options_t){.count = work->numbers, .momentum = 0.9f}, &vectors.optimizer);
    if (!vectors.z || !vectors.other)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu numbers", work->numbers);
    for (pass_t pass = 0; pass < PASSES && status == SGP_OK; pass++) {
        status = sgp_group_barrier(group);
        if (status == SGP_OK) *seconds[pass] = time_pass(&vectors, pass);
    }
    sgp_optimizer_destroy(vectors.optimizer);
    sgp_memory_free(vectors.z);
    sgp_memory_free(vectors.other);
    return status;
}

sgp_status_t bench_local(sgp_group_t *group, const bench_work_t *work, bench_local_t *found) {
    *found = (bench_local_t){NAN, NAN, NAN, NAN, NAN, NAN};
    sgp_status_t status = passes(group, work, found);
    if (status == SGP_OK) status = sgp_group_barrier(group);
    return status == SGP_OK && work->model ? gradient(work, found) : status;
}
