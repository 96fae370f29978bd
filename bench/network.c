/* SPDX-License-Identifier: Apache-2.0 */
/* Training steps of one node among several machines, without a model: `network ALGORITHM PARAMETERS STEPS COMPUTE_MS
 * SLOW_RANK:FACTOR ENCODING`.
 *
 * The node's place comes from the environment, as sgp_group_join reads it (SGP_RANK, SGP_SIZE, SGP_JOIN, ...).
 * ALGORITHM: a name of the library's; "async", sgp that waits for nothing; "overlapN", sgp with an overlap of N steps. A
 * step sleeps for COMPUTE_MS, as where an accelerator computes, and takes the mixer's step with the paper's optimizer. One
 * node, SLOW_RANK, sleeps FACTOR times as long; -1:1: none. Where nobody waits for it, it makes fewer steps in the
 * same time. Rank 0 prints a line for each node: rank, milliseconds per step, of these asleep for messages, CPU
 * milliseconds per step, payload bytes sent per step. bench/network makes the table. */
#include <sgp/sgp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARM_UP = 2, MOST_NODES = 64 };

typedef struct work {
    size_t count; /* floats */
    int steps;
    double compute; /* milliseconds */
    int slow;       /* rank, -1: none */
    double factor;
    sgp_mixer_options_t options;
} work_t;

typedef struct times {
    double step, asleep, cpu; /* milliseconds per step */
    double bytes;             /* per step */
} times_t;

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)user;
    fprintf(stderr, "node %d: %s\n", rank, line);
}

static double milliseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static void sleep_ms(double time) {
    struct timespec left = {.tv_sec = (time_t)(time / 1e3)};
    left.tv_nsec = (long)((time - (double)left.tv_sec * 1e3) * 1e6);
    while (nanosleep(&left, &left) && errno == EINTR) continue;
}

static bool waits_for_nobody(const work_t *work) {
    return work->options.algorithm == SGP_ALGORITHM_ADPSGD ||
           work->options.overlap == SGP_OVERLAP_ASYNC;
}

static sgp_status_t run(const work_t *work, int rank, int steps, sgp_mixer_t *mixer,
                        sgp_optimizer_t *optimizer, const float *gradient) {
    sgp_status_t status = SGP_OK;
    double factor = rank == work->slow ? work->factor : 1;
    if (factor > 1 && waits_for_nobody(work))
        steps = steps / (int)factor > 0 ? steps / (int)factor : 1;
    for (int i = 0; i < steps && status == SGP_OK; i++) {
        sleep_ms(work->compute * factor);
        status = sgp_mixer_step(mixer, optimizer, gradient, 1e-3f);
    }
    return status;
}

static sgp_status_t measure(const work_t *work, sgp_group_t *group, sgp_mixer_t *mixer,
                            sgp_optimizer_t *optimizer, const float *gradient, times_t *times) {
    int rank = sgp_group_rank(group);
    sgp_mixer_statistics_t before, after;
    sgp_status_t status = run(work, rank, WARM_UP, mixer, optimizer, gradient);
    if (status == SGP_OK) status = sgp_group_barrier(group);
    if (status != SGP_OK) return status;
    sgp_mixer_statistics(mixer, &before);
    double start = milliseconds(CLOCK_MONOTONIC), cpu = milliseconds(CLOCK_PROCESS_CPUTIME_ID);
    status = run(work, rank, work->steps, mixer, optimizer, gradient);
    double end = milliseconds(CLOCK_MONOTONIC);
    cpu = milliseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    sgp_mixer_statistics(mixer, &after);
    double steps = (double)(after.steps - before.steps);
    *times = (times_t){.step = (end - start) / steps,
                       .asleep = (double)(after.wait_ns - before.wait_ns) * 1e-6 / steps,
                       .cpu = cpu / steps,
                       .bytes = (double)(after.bytes_sent - before.bytes_sent) / steps};
    return status;
}

static sgp_status_t show(sgp_group_t *group, const times_t *mine) {
    times_t all[MOST_NODES];
    sgp_status_t status = sgp_group_gather(group, mine, sizeof *mine, all);
    if (status != SGP_OK || sgp_group_rank(group) != 0) return status;
    for (int r = 0; r < sgp_group_size(group); r++)
        printf("%d %.3f %.3f %.3f %.0f\n", r, all[r].step, all[r].asleep, all[r].cpu, all[r].bytes);
    return SGP_OK;
}

/* The average at the end is a meeting: nobody leaves while another one still sends to it. */
static int node(const work_t *work) {
    sgp_group_t *group;
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    sgp_optimizer_options_t recipe = {
        .count = work->count, .momentum = 0.9f, .weight_decay = 1e-4f};
    times_t times;
    if (sgp_group_join(&(sgp_group_options_t){0}, &group) != SGP_OK) return 1;
    if (sgp_group_size(group) > MOST_NODES) return 1;
    float *gradient = malloc(work->count * sizeof *gradient);
    if (!gradient) return 1;
    for (size_t i = 0; i < work->count; i++) gradient[i] = (float)((int)(i % 13) - 6) * 1e-3f;
    sgp_status_t status = sgp_mixer_create(group, &work->options, gradient, &mixer);
    if (status == SGP_OK) status = sgp_optimizer_create(&recipe, &optimizer);
    if (status == SGP_OK) status = measure(work, group, mixer, optimizer, gradient, &times);
    if (status == SGP_OK) status = sgp_mixer_average(mixer, NULL, NULL);
    if (status == SGP_OK) status = show(group, &times);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    free(gradient);
    sgp_group_leave(group);
    return status != SGP_OK;
}

static sgp_status_t parse(char **argv, work_t *work) {
    sgp_mixer_options_t *options = &work->options;
    int end = 0;
    work->count = strtoull(argv[2], NULL, 10);
    work->steps = atoi(argv[3]);
    work->compute = atof(argv[4]);
    *options = (sgp_mixer_options_t){.count = work->count, .timeout_ms = 300000};
    if (sscanf(argv[5], "%d:%lf%n", &work->slow, &work->factor, &end) != 2 || argv[5][end] ||
        work->count < 1 || work->steps < 1 || work->compute < 0 || work->factor < 1 ||
        sgp_encoding_parse(argv[6], &options->encoding) != SGP_OK)
        return SGP_ERR_INVALID;
    if (!strcmp(argv[1], "async")) return options->overlap = SGP_OVERLAP_ASYNC, SGP_OK;
    if (sscanf(argv[1], "overlap%d", &options->overlap) == 1) return SGP_OK;
    sgp_status_t status = sgp_algorithm_parse(argv[1], &options->algorithm);
    options->overlap = options->algorithm == SGP_ALGORITHM_OSGP;
    if (options->algorithm == SGP_ALGORITHM_DPSGD || options->algorithm == SGP_ALGORITHM_ADPSGD)
        options->graph.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL;
    return status;
}

int main(int argc, char **argv) {
    work_t work;
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    if (argc == 7 && parse(argv, &work) == SGP_OK) return node(&work);
    fprintf(stderr,
            "usage: %s sgp|osgp|overlapN|async|dpsgd|adpsgd|allreduce PARAMETERS STEPS COMPUTE_MS "
            "SLOW_RANK:FACTOR float32|bfloat16|float16\n",
            argv[0]);
    return 2;
}
