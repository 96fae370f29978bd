/* SPDX-License-Identifier: Apache-2.0 */
/* The time of a training step: forward, backward, update.
 *
 *     train_step [--batch N] [--warm-up N] [--threads N] [--precision P] [--clock C]
 *
 * prints the version of oneDNN and then answers lines of standard input: "MODEL STEPS" with the time in ms of forward and backward
 * together, and of the update, step after step. P is float32 or bfloat16. C is wall, or cpu: the
 * processor time of the process, which other work on the machine disturbs less. Models stay in
 * memory for the next line. bench/train_step alternates it with PyTorch. */
#include "base/memory.h"
#include "base/random.h"
#include "model/engine.h"
#include "model/model.h"

#include <sgp/log.h>
#include <sgp/optimizer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The images of a model; the last row is that of all others. */
typedef struct shape {
    const char *model;
    int side, channels, classes;
} shape_t;

static const shape_t shapes[] = {
    {"resnet18", 224, 3, 1000}, {"resnet50", 224, 3, 1000}, {NULL, 28, 1, 10}};

typedef struct settings {
    int batch, warm_up, threads;
    model_precision_t precision;
    clockid_t clock;
} settings_t;

enum { MAX_MODELS = 16, NAME = 32 };

typedef struct workload {
    char name[NAME]; /* empty: unused */
    const settings_t *settings;
    const shape_t *shape;
    size_t pixels; /* floats of the batch */
    model_t *model;
    sgp_optimizer_t *optimizer;
    float *parameters, *buffers, *gradient, *images;
    int32_t *labels;
} workload_t;

static double now_ms(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)rank, (void)user;
    fprintf(stderr, "train_step: %s\n", line);
}

static void fill_samples(workload_t *w) {
    sgp_random_t random;
    sgp_random_init(&random, 1, 0);
    for (size_t i = 0; i < w->pixels; i++) w->images[i] = (float)sgp_random_normal(&random);
    for (int i = 0; i < w->settings->batch; i++)
        w->labels[i] = (int32_t)sgp_random_below(&random, (uint64_t)w->shape->classes);
}

static sgp_status_t allocate(workload_t *w) {
    model_options_t options = {.name = w->name,
                               .batch = w->settings->batch,
                               .height = w->shape->side,
                               .width = w->shape->side,
                               .channels = w->shape->channels,
                               .classes = w->shape->classes,
                               .threads = w->settings->threads,
                               .precision = w->settings->precision};
    w->pixels = (size_t)options.batch * (size_t)options.height * (size_t)options.width *
                (size_t)options.channels;
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
    w->images = sgp_memory_alloc(w->pixels * sizeof(float));
    w->labels = sgp_memory_alloc((size_t)options.batch * sizeof(int32_t));
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

/* times: of forward and backward, of the update, in ms. */
static sgp_status_t step(workload_t *w, double times[2]) {
    model_result_t result;
    clockid_t clock = w->settings->clock;
    double start = now_ms(clock);
    sgp_status_t status = model_train(w->model, w->parameters, w->buffers, w->images, w->labels,
                                      w->settings->batch, w->settings->batch, w->gradient, &result);
    double middle = now_ms(clock);
    if (!status) sgp_optimizer_step(w->optimizer, w->parameters, w->gradient, 1e-3f);
    times[0] = middle - start;
    times[1] = now_ms(clock) - middle;
    return status;
}

static sgp_status_t create(workload_t *w, const char *name, const settings_t *settings) {
    double times[2];
    w->settings = settings;
    w->shape = shapes;
    while (w->shape->model && strcmp(w->shape->model, name)) w->shape++;
    snprintf(w->name, sizeof w->name, "%s", name);
    sgp_status_t status = allocate(w);
    for (int i = 0; i < settings->warm_up && !status; i++) status = step(w, times);
    return status;
}

/* Answers one line of input. */
static bool answer(workload_t *workloads, const settings_t *settings, const char *line) {
    char name[NAME];
    int steps, i = 0;
    double times[2];
    if (sscanf(line, "%31s %d", name, &steps) != 2) return false;
    while (i < MAX_MODELS && workloads[i].name[0] && strcmp(workloads[i].name, name)) i++;
    if (i == MAX_MODELS) return false;
    if (!workloads[i].name[0] && create(&workloads[i], name, settings)) return false;
    for (int j = 0; j < steps; j++) {
        if (step(&workloads[i], times)) return false;
        printf("%s%.4f %.4f", j ? " " : "", times[0], times[1]);
    }
    printf("\n");
    fflush(stdout);
    return true;
}

/* Whether the option and its value are known. */
static bool parse(settings_t *s, const char *option, const char *value) {
    const struct {
        const char *name;
        int *into;
    } numbers[] = {{"--batch", &s->batch}, {"--warm-up", &s->warm_up}, {"--threads", &s->threads}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(option, numbers[i].name)) continue;
        *numbers[i].into = atoi(value);
        return *numbers[i].into >= 1 && *numbers[i].into <= 100000;
    }
    if (!strcmp(option, "--precision")) {
        s->precision = strcmp(value, "bfloat16") ? MODEL_FLOAT32 : MODEL_BFLOAT16;
        return s->precision == MODEL_BFLOAT16 || !strcmp(value, "float32");
    }
    s->clock = strcmp(value, "cpu") ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID;
    return !strcmp(option, "--clock") && (!strcmp(value, "cpu") || !strcmp(value, "wall"));
}

int main(int argc, char **argv) {
    settings_t settings = {.batch = 32, .warm_up = 5, .threads = 1, .clock = CLOCK_MONOTONIC};
    static workload_t workloads[MAX_MODELS];
    char line[128];
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && parse(&settings, argv[i], argv[i + 1])) continue;
        fprintf(stderr, "usage: train_step [--batch N] [--warm-up N] [--threads N]\n"
                        "                  [--precision float32|bfloat16] [--clock wall|cpu]\n");
        return 2;
    }
    printf("oneDNN %s\n", engine_version());
    fflush(stdout);
    bool good = true;
    while (good && fgets(line, sizeof line, stdin)) good = answer(workloads, &settings, line);
    for (int i = 0; i < MAX_MODELS; i++) destroy(&workloads[i]);
    return good ? 0 : 1;
}
