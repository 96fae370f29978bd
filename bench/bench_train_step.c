/* SPDX-License-Identifier: Apache-2.0 */
/* The time of a training step: forward, backward, update.
 *
 *     train_step [--batch N] [--steps N] [--warm-up N] [--threads N] [--precision P] [--clock C]
 *                [MODEL...]
 *
 * prints one line per model: its name, the median in ms of forward and backward together, of the
 * update, and of the step. P is float32 or bfloat16. C is wall, or cpu: the processor time of the
 * process, which other work on the machine disturbs less. bench/train_step alternates it with
 * PyTorch. */
#include "base/memory.h"
#include "base/random.h"
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
    int batch, steps, warm_up, threads;
    model_precision_t precision;
    clockid_t clock;
} settings_t;

typedef struct workload {
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
    for (size_t i = 0; i < w->pixels; i++) w->images[i] = (float)sgp_random_normal(&random);
    for (int i = 0; i < w->settings->batch; i++)
        w->labels[i] = (int32_t)sgp_random_below(&random, (uint64_t)w->shape->classes);
}

static sgp_status_t create(workload_t *w, const char *name) {
    model_options_t options = {.name = name,
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

static sgp_status_t measure(workload_t *w, const char *name) {
    int steps = w->settings->steps, batch = w->settings->batch;
    clockid_t clock = w->settings->clock;
    double gradient[steps], update[steps], whole[steps];
    for (int i = -w->settings->warm_up; i < steps; i++) {
        model_result_t result;
        double start = now_ms(clock);
        sgp_status_t status = model_train(w->model, w->parameters, w->buffers, w->images, w->labels,
                                          batch, batch, w->gradient, &result);
        if (status) return status;
        double middle = now_ms(clock);
        sgp_optimizer_step(w->optimizer, w->parameters, w->gradient, 1e-3f);
        double end = now_ms(clock);
        if (i < 0) continue;
        gradient[i] = middle - start;
        update[i] = end - middle;
        whole[i] = end - start;
    }
    printf("%s %.4f %.4f %.4f\n", name, median(gradient, steps), median(update, steps),
           median(whole, steps));
    fflush(stdout);
    return SGP_OK;
}

static sgp_status_t run(const char *name, const settings_t *settings) {
    const shape_t *shape = shapes;
    while (shape->model && strcmp(shape->model, name)) shape++;
    workload_t workload = {.settings = settings, .shape = shape};
    sgp_status_t status = create(&workload, name);
    if (!status) status = measure(&workload, name);
    destroy(&workload);
    return status;
}

/* Whether the option and its value are known. */
static bool parse(settings_t *s, const char *option, const char *value) {
    const struct {
        const char *name;
        int *into;
    } numbers[] = {{"--batch", &s->batch},
                   {"--steps", &s->steps},
                   {"--warm-up", &s->warm_up},
                   {"--threads", &s->threads}};
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
    static const char *const all[] = {"mlp", "lenet", "resnet20"};
    settings_t settings = {
        .batch = 32, .steps = 30, .warm_up = 5, .threads = 1, .clock = CLOCK_MONOTONIC};
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    int i = 1;
    for (; i < argc && !strncmp(argv[i], "--", 2); i += 2) {
        if (i + 1 < argc && parse(&settings, argv[i], argv[i + 1])) continue;
        fprintf(stderr,
                "usage: train_step [--batch N] [--steps N] [--warm-up N] [--threads N]\n"
                "                  [--precision float32|bfloat16] [--clock wall|cpu] [MODEL...]\n");
        return 2;
    }
    bool chosen = i < argc;
    int count = chosen ? argc - i : (int)(sizeof all / sizeof *all);
    for (int j = 0; j < count; j++)
        if (run(chosen ? argv[i + j] : all[j], &settings)) return 1;
    return 0;
}
