/* SPDX-License-Identifier: Apache-2.0 */
/* Training steps of processes on this machine whose gradients take a fixed time and no CPU, as on
 * an accelerator: `overlap ALGORITHM NODES PARAMETERS STEPS COMPUTE_MS JITTER_MS`.
 *
 * ALGORITHM: a name of the library; "async", sgp without waiting; "alone", every process by itself,
 * the update without communication. A step sleeps for COMPUTE_MS plus or minus up to JITTER_MS, and
 * calls sgp_mixer_step with the paper's optimizer. Prints milliseconds per step, as means over
 * nodes: the step, from barrier to barrier over STEPS steps; in sgp_mixer_step; asleep in it; CPU
 * time, which includes work during the gradient. bench/overlap makes the table. */
#include "base/random.h"

#include <sgp/sgp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_NODES = 64, WARM_UP = 16 };

typedef struct work {
    const char *algorithm;
    int nodes;
    size_t count; /* floats */
    int steps;
    double compute, jitter; /* milliseconds */
    char directory[64];
} work_t;

typedef struct node {
    const work_t *work;
    int rank;
    sgp_group_t *all; /* for barriers and times */
    sgp_group_t *own; /* mixes: all, or this process alone */
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    float *gradient; /* (count) */
    sgp_random_t random;
} node_t;

/* Milliseconds per step of one node. */
typedef struct times {
    double whole, inside, asleep, cpu;
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

static void compute(node_t *node) {
    const work_t *work = node->work;
    double off = 2 * sgp_random_double(&node->random) - 1;
    double seconds = (work->compute + off * work->jitter) * 1e-3;
    struct timespec left = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) && errno == EINTR) continue;
}

static sgp_status_t run(node_t *node, int steps) {
    sgp_status_t status = SGP_OK;
    for (int i = 0; i < steps && status == SGP_OK; i++) {
        compute(node);
        status = sgp_mixer_step(node->mixer, node->optimizer, node->gradient, 1e-3f);
    }
    return status;
}

static sgp_status_t measure(node_t *node, times_t *times) {
    sgp_mixer_statistics_t before, after;
    sgp_status_t status = run(node, WARM_UP);
    if (status == SGP_OK) status = sgp_group_barrier(node->all);
    if (status != SGP_OK) return status;
    sgp_mixer_statistics(node->mixer, &before);
    double start = milliseconds(CLOCK_MONOTONIC), cpu = milliseconds(CLOCK_PROCESS_CPUTIME_ID);
    status = run(node, node->work->steps);
    cpu = milliseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    sgp_mixer_statistics(node->mixer, &after);
    if (status == SGP_OK) status = sgp_group_barrier(node->all);
    double steps = node->work->steps;
    *times = (times_t){.whole = (milliseconds(CLOCK_MONOTONIC) - start) / steps,
                       .inside = (double)(after.step_ns - before.step_ns) * 1e-6 / steps,
                       .asleep = (double)(after.wait_ns - before.wait_ns) * 1e-6 / steps,
                       .cpu = cpu / steps};
    return status;
}

static sgp_status_t show(node_t *node, const times_t *mine) {
    times_t all[MOST_NODES], mean = {0};
    sgp_status_t status = sgp_group_gather(node->all, mine, sizeof *mine, all);
    if (status != SGP_OK || node->rank != 0) return status;
    int nodes = node->work->nodes;
    for (int r = 0; r < nodes; r++) {
        mean.whole += all[r].whole / nodes;
        mean.inside += all[r].inside / nodes;
        mean.asleep += all[r].asleep / nodes;
        mean.cpu += all[r].cpu / nodes;
    }
    printf("%.4f %.4f %.4f %.4f\n", mean.whole, mean.inside, mean.asleep, mean.cpu);
    return SGP_OK;
}

static sgp_status_t join(node_t *node) {
    const work_t *work = node->work;
    sgp_group_options_t place = {
        .rank = node->rank, .size = work->nodes, .rendezvous = work->directory};
    sgp_status_t status = sgp_group_join(&place, &node->all);
    if (status != SGP_OK) return status;
    node->own = node->all;
    if (strcmp(work->algorithm, "alone") != 0) return SGP_OK;
    return sgp_group_join(&(sgp_group_options_t){.rank = 0, .size = 1}, &node->own);
}

static sgp_status_t parse_algorithm(const char *name, sgp_mixer_options_t *options) {
    if (!strcmp(name, "alone")) return SGP_OK;
    if (!strcmp(name, "async")) return options->overlap = SGP_OVERLAP_ASYNC, SGP_OK;
    sgp_status_t status = sgp_algorithm_parse(name, &options->algorithm);
    options->overlap = options->algorithm == SGP_ALGORITHM_OSGP;
    return status;
}

static sgp_status_t create(node_t *node) {
    size_t count = node->work->count;
    sgp_mixer_options_t options = {.count = count};
    sgp_optimizer_options_t recipe = {.count = count, .momentum = 0.9f, .weight_decay = 1e-4f};
    sgp_status_t status = parse_algorithm(node->work->algorithm, &options);
    if (status != SGP_OK) return status;
    node->gradient = malloc(count * sizeof(float));
    if (!node->gradient) return SGP_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        node->gradient[i] = (float)((int)(i % 13) - 6 + node->rank) * 1e-3f;
    status = sgp_mixer_create(node->own, &options, node->gradient, &node->mixer);
    return status == SGP_OK ? sgp_optimizer_create(&recipe, &node->optimizer) : status;
}

/* The average at the end is a barrier: no node leaves while another still needs an answer. */
static int node_main(const work_t *work, int rank) {
    node_t node = {.work = work, .rank = rank};
    times_t times;
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    sgp_random_init(&node.random, 1, (uint64_t)rank); /* the same times for all algorithms */
    sgp_status_t status = join(&node);
    if (status == SGP_OK) status = create(&node);
    if (status == SGP_OK) status = measure(&node, &times);
    if (status == SGP_OK) status = sgp_mixer_average(node.mixer, NULL, NULL);
    if (status == SGP_OK) status = show(&node, &times);
    sgp_mixer_destroy(node.mixer);
    sgp_optimizer_destroy(node.optimizer);
    free(node.gradient);
    if (node.own != node.all) sgp_group_leave(node.own);
    sgp_group_leave(node.all);
    return status != SGP_OK;
}

static int start_nodes(const work_t *work) {
    pid_t children[MOST_NODES];
    int failed = 0;
    for (int r = 0; r < work->nodes; r++) {
        children[r] = fork();
        if (children[r] == 0) exit(node_main(work, r));
    }
    for (int r = 0; r < work->nodes; r++) {
        int status = 1;
        if (children[r] > 0) waitpid(children[r], &status, 0);
        failed |= status != 0;
    }
    return failed;
}

static int usage(const char *program) {
    fprintf(stderr,
            "usage: %s alone|sgp|osgp|async|dpsgd|adpsgd|allreduce NODES PARAMETERS STEPS "
            "COMPUTE_MS JITTER_MS\n",
            program);
    return 2;
}

int main(int argc, char **argv) {
    sgp_mixer_options_t ignored;
    if (argc != 7 || parse_algorithm(argv[1], &ignored) != SGP_OK) return usage(argv[0]);
    work_t work = {.algorithm = argv[1],
                   .nodes = atoi(argv[2]),
                   .count = strtoull(argv[3], NULL, 10),
                   .steps = atoi(argv[4]),
                   .compute = atof(argv[5]),
                   .jitter = atof(argv[6]),
                   .directory = "/tmp/sgp-bench-XXXXXX"};
    if (work.nodes < 1 || work.nodes > MOST_NODES || work.count < 1 || work.steps < 1 ||
        work.jitter < 0 || work.compute < work.jitter)
        return usage(argv[0]);
    if (!mkdtemp(work.directory)) return 1;
    int failed = start_nodes(&work);
    rmdir(work.directory);
    return failed;
}
