/* SPDX-License-Identifier: Apache-2.0 */
/* The time of a training step on one thread: forward, backward, update.
 *
 *     train_step [--batch N] [--steps N] [MODEL...]
 *
 * prints one line per model: its name, the median in ms of forward and backward together, of the
 * update, and of the step. bench/train_step alternates it with PyTorch. */
#include "base/memory.h"
#include "base/random.h"
#include "model/model.h"

#include <sgp/log.h>
#include <sgp/optimizer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HEIGHT = 28, WIDTH = 28, CHANNELS = 1, CLASSES = 10, WARM_UP = 5 };

typedef struct workload {
    int batch, steps;
    model_t *model;
    sgp_optimizer_t *optimizer;
    float *parameters, *buffers, *gradient, *images;
    int32_t *labels;
} workload_t;

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return values[count / 2];
}

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)rank, (void)user;
    fprintf(stderr, "train_step: %s\n", line);
}

static void fill_samples(workload_t *w) {
    sgp_random_t random;
    sgp_random_init(&random, 1, 0);
    size_t floats = (size_t)w->batch * HEIGHT * WIDTH * CHANNELS;
    for (size_t i = 0; i < floats; i++) w->images[i] = (float)sgp_random_normal(&random);
    for (int i = 0; i < w->batch; i++) w->labels[i] = (int32_t)sgp_random_below(&random, CLASSES);
}

static sgp_status_t create(workload_t *w, const char *name) {
    model_options_t options = {.name = name,
                               .batch = w->batch,
                               .height = HEIGHT,
                               .width = WIDTH,
                               .channels = CHANNELS,
                               .classes = CLASSES};
    sgp_status_t status = model_create(&options, &w->model);
    if (status) return status;
    size_t count = model_parameter_count(w->model);
    status = sgp_optimizer_create(
        &(sgp_optimizer_options_t){.count = count, .momentum = 0.9f, .weight_decay = 1e-4f},
        &w->optimizer);
    if (status) return status;
    w->parameters = sgp_memory_alloc(count * sizeof(float));
    w->gradient = sgp_memory_alloc(count * sizeof(float));
    w->buffers = sgp_memory_alloc(model_buffer_count(w->model) * sizeof(float));
    w->images = sgp_memory_alloc((size_t)w->batch * HEIGHT * WIDTH * CHANNELS * sizeof(float));
    w->labels = sgp_memory_alloc((size_t)w->batch * sizeof(int32_t));
    if (!w->parameters || !w->gradient || !w->buffers || !w->images || !w->labels)
        return SGP_ERR_NO_MEMORY;
    model_init_parameters(w->model, 1, w->parameters, w->buffers);
    fill_samples(w);
    return SGP_OK;
}

static void destroy(workload_t *w) {
    model_destroy(w->model);
    sgp_optimizer_destroy(w->optimizer);
    sgp_memory_free(w->parameters);
    sgp_memory_free(w->gradient);
    sgp_memory_free(w->buffers);
    sgp_memory_free(w->images);
    sgp_memory_free(w->labels);
}

static sgp_status_t measure(workload_t *w, const char *name) {
    double gradient[w->steps], update[w->steps], whole[w->steps];
    for (int i = -WARM_UP; i < w->steps; i++) {
        model_result_t result;
        double start = now_ms();
        sgp_status_t status = model_train(w->model, w->parameters, w->buffers, w->images, w->labels,
                                          w->batch, w->batch, w->gradient, &result);
        if (status) return status;
        double middle = now_ms();
        sgp_optimizer_step(w->optimizer, w->parameters, w->gradient, 1e-3f);
        double end = now_ms();
        if (i < 0) continue;
        gradient[i] = middle - start;
        update[i] = end - middle;
        whole[i] = end - start;
    }
    printf("%s %.4f %.4f %.4f\n", name, median(gradient, w->steps), median(update, w->steps),
           median(whole, w->steps));
    return SGP_OK;
}

static sgp_status_t run(const char *name, int batch, int steps) {
    workload_t workload = {.batch = batch, .steps = steps};
    sgp_status_t status = create(&workload, name);
    if (!status) status = measure(&workload, name);
    destroy(&workload);
    return status;
}

int main(int argc, char **argv) {
    static const char *const all[] = {"mlp", "lenet", "resnet20"};
    int batch = 32, steps = 30, i = 1;
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    setenv("OMP_NUM_THREADS", "1", 1); /* read by OpenMP at its first parallel region */
    for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2) {
        if (!strcmp(argv[i], "--batch")) batch = atoi(argv[i + 1]);
        if (!strcmp(argv[i], "--steps")) steps = atoi(argv[i + 1]);
    }
    if (batch < 1 || steps < 1 || steps > 100000) {
        fprintf(stderr, "usage: train_step [--batch N] [--steps N] [MODEL...]\n");
        return 2;
    }
    bool chosen = i < argc;
    int count = chosen ? argc - i : (int)(sizeof all / sizeof *all);
    for (int j = 0; j < count; j++)
        if (run(chosen ? argv[i + j] : all[j], batch, steps)) return 1;
    return 0;
}
