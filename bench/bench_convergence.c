/* SPDX-License-Identifier: Apache-2.0 */
/* Averaging and training on problems with a known answer; bench/convergence makes the tables.
 *
 *     convergence noise GRAPH PEERS NODES STEPS SEED
 *
 * Every node adds normal noise of variance 1 to each of its numbers in each step, then they mix.
 * Prints the steady consensus variance of a number (the mean over nodes of the squared distance to
 * their mean, after mixing) and its standard error.
 *
 *     convergence train ALGORITHM NODES STEPS RATE START DIFFERENCE SEED
 *
 * Minimizes f(x) = sum of phi(x_c), phi(x) = x^2 / (1 + x^2): smooth, and not convex for |x| >
 * 0.58. Node i sees phi'(x_c) + b_ic + noise. The b_ic (normal, times DIFFERENCE) make the nodes'
 * own problems differ, and sum to zero over the nodes. The noise is normal with standard deviation
 * 2. Every coordinate starts at START. ALGORITHM is a name of the library, or "async", sgp without
 * waiting. Prints, per coordinate: the mean over steps of |grad f|^2 at the mean over nodes of z,
 * the same at the nodes' own z (mean over nodes), and the root mean square distance of the nodes to
 * their mean in the second half of the steps.
 *
 * The nodes are threads of this process in virtual time. A gradient takes 0.9 to 1.1 ms and a
 * message 0.1 to 0.2 ms: nodes that do not wait drift apart as on a real machine, and the same seed
 * always gives the same figures. The coordinates are independent problems, each one sample. */
#include "base/memory.h"
#include "base/random.h"
#include "group/group_internal.h"
#include "transport/loopback/loopback.h"

#include <sgp/sgp.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_NODES = 64,
    NOISE_LENGTH = 1024, /* numbers in a vector */
    NOISE_BEFORE = 700,  /* steps until it is steady: the ring of 32 contracts by 0.974 per step */
    NOISE_EVERY = 7,     /* steps between samples, which visit every phase of a graph */
    TRAIN_LENGTH = 256,
    TRAIN_SAMPLES = 1024, /* at most */
};

static const double gradient_noise = 2;

/* Streams of random numbers of a seed. A node's noise: its rank. */
enum { STREAM_TIME = 1000, STREAM_DIFFERENCE = 2000 };

typedef struct work {
    sgp_mixer_options_t options;
    int nodes, length, steps;
    uint64_t seed;
    bool trains;
    float rate, start;
    float *difference; /* (nodes, length) */
    int before, every; /* samples are taken before the steps `before` + a multiple of `every` */
    int samples;
    float *z; /* (samples, nodes, length) */
    sgp_loopback_t *hub;
} work_t;

typedef struct node {
    work_t *work;
    int rank;
    pthread_t thread;
    bool failed;
    sgp_transport_t *transport;
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    float *gradient; /* (length) */
    sgp_random_t noise, time;
} node_t;

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)user;
    fprintf(stderr, "node %d: %s\n", rank, line);
}

static float *sample(const work_t *work, int index, int rank) {
    return work->z + ((size_t)index * (size_t)work->nodes + (size_t)rank) * (size_t)work->length;
}

static double slope_of_phi(double x) {
    double below = 1 + x * x;
    return 2 * x / (below * below);
}

/* ---- a node ---- */

static void take_sample(const node_t *node, int step) {
    const work_t *work = node->work;
    int since = step - work->before, index = since / work->every;
    if (since < 0 || since % work->every || index >= work->samples) return;
    memcpy(sample(work, index, node->rank), sgp_mixer_parameters(node->mixer),
           (size_t)work->length * sizeof(float));
}

static void add_noise(node_t *node) {
    float *z = sgp_mixer_parameters(node->mixer);
    for (int i = 0; i < node->work->length; i++) z[i] += (float)sgp_random_normal(&node->noise);
}

static void take_gradient(node_t *node) {
    const work_t *work = node->work;
    const float *z = sgp_mixer_parameters(node->mixer);
    const float *difference = work->difference + (size_t)node->rank * (size_t)work->length;
    for (int i = 0; i < work->length; i++)
        node->gradient[i] = (float)(slope_of_phi((double)z[i]) + (double)difference[i] +
                                    gradient_noise * sgp_random_normal(&node->noise));
}

static void let_time_pass(node_t *node) {
    sgp_transport_t *transport = node->transport;
    uint64_t deadline =
        sgp_transport_now(transport) + 900000 + sgp_random_below(&node->time, 200000);
    sgp_transport_lock(transport);
    while (sgp_transport_now(transport) < deadline) sgp_transport_pause(transport, deadline);
    sgp_transport_unlock(transport);
}

static sgp_status_t step(node_t *node) {
    if (!node->work->trains) {
        add_noise(node);
        return sgp_mixer_step(node->mixer, NULL, NULL, 0);
    }
    take_gradient(node);
    let_time_pass(node);
    return sgp_mixer_step(node->mixer, node->optimizer, node->gradient, node->work->rate);
}

/* Ends with a barrier, so that no node leaves while another still needs an answer. */
static sgp_status_t run(node_t *node) {
    for (int k = 0; k < node->work->steps; k++) {
        take_sample(node, k);
        sgp_status_t status = step(node);
        if (status != SGP_OK) return status;
    }
    sgp_mixer_consensus_t consensus;
    sgp_status_t status = sgp_mixer_average(node->mixer, NULL, &consensus);
    if (status != SGP_OK) return status;
    if (fabs(consensus.w_total - node->work->nodes) < 1e-6) return SGP_OK;
    fprintf(stderr, "the weights sum to %g\n", consensus.w_total);
    return SGP_ERR_MISMATCH;
}

static sgp_status_t create(node_t *node, sgp_group_t *group) {
    const work_t *work = node->work;
    size_t length = (size_t)work->length;
    sgp_optimizer_options_t plain = {.count = length};
    sgp_random_init(&node->noise, work->seed, (uint64_t)node->rank);
    sgp_random_init(&node->time, work->seed, STREAM_TIME + (uint64_t)node->rank);
    node->gradient = sgp_memory_alloc(length * sizeof(float));
    if (!node->gradient) return SGP_ERR_NO_MEMORY;
    for (size_t i = 0; i < length; i++) node->gradient[i] = work->start;
    sgp_status_t status = sgp_mixer_create(group, &work->options, node->gradient, &node->mixer);
    return status == SGP_OK ? sgp_optimizer_create(&plain, &node->optimizer) : status;
}

static void *node_main(void *argument) {
    node_t *node = argument;
    node->transport = sgp_loopback_transport(node->work->hub, node->rank);
    sgp_group_t *group = NULL;
    sgp_status_t status = sgp_group_create(node->transport, 0, &group);
    if (status == SGP_OK) status = create(node, group);
    if (status == SGP_OK) status = run(node);
    node->failed = status != SGP_OK;
    sgp_mixer_destroy(node->mixer);
    sgp_optimizer_destroy(node->optimizer);
    sgp_memory_free(node->gradient);
    sgp_group_leave(group);
    return NULL;
}

/* ---- all nodes ---- */

static int run_nodes(work_t *work) {
    sgp_loopback_options_t options = {
        .size = work->nodes, .virtual_time = true, .seed = work->seed};
    if (work->trains) options.delay_min_ns = 100000, options.delay_max_ns = 200000;
    work->options.count = (size_t)work->length;
    work->samples = (work->steps - work->before + work->every - 1) / work->every;
    size_t row = (size_t)work->nodes * (size_t)work->length * sizeof(float);
    work->z = malloc((size_t)work->samples * row);
    if (!work->z || sgp_loopback_create(&options, &work->hub) != SGP_OK) return 1;
    node_t nodes[MOST_NODES] = {0};
    int failed = 0;
    for (int r = 0; r < work->nodes; r++) {
        nodes[r] = (node_t){.work = work, .rank = r};
        if (pthread_create(&nodes[r].thread, NULL, node_main, &nodes[r])) exit(1);
    }
    for (int r = 0; r < work->nodes; r++) {
        pthread_join(nodes[r].thread, NULL);
        failed |= nodes[r].failed;
    }
    sgp_loopback_destroy(work->hub);
    return failed;
}

/* ---- results ---- */

/* Of coordinate c in a sample: the mean over nodes, and the variance around it. */
static double spread(const work_t *work, int index, int c, double *mean) {
    double sum = 0, squares = 0;
    for (int r = 0; r < work->nodes; r++) sum += (double)sample(work, index, r)[c];
    *mean = sum / work->nodes;
    for (int r = 0; r < work->nodes; r++) {
        double apart = (double)sample(work, index, r)[c] - *mean;
        squares += apart * apart;
    }
    return squares / work->nodes;
}

static void print_variance(const work_t *work) {
    double sum = 0, squares = 0, mean;
    for (int c = 0; c < work->length; c++) {
        double variance = 0;
        for (int s = 0; s < work->samples; s++) variance += spread(work, s, c, &mean);
        variance /= work->samples;
        sum += variance;
        squares += variance * variance;
    }
    double all = sum / work->length;
    double apart = (squares / work->length - all * all) / (work->length - 1);
    printf("%.6g %.2g\n", all, sqrt(apart));
}

static double gradient_at_nodes(const work_t *work, int index, int c) {
    double sum = 0;
    for (int r = 0; r < work->nodes; r++) {
        double slope = slope_of_phi((double)sample(work, index, r)[c]);
        sum += slope * slope;
    }
    return sum / work->nodes;
}

static void print_training(const work_t *work) {
    double at_mean = 0, at_nodes = 0, variance = 0, mean;
    int later = work->samples / 2;
    for (int s = 0; s < work->samples; s++) {
        for (int c = 0; c < work->length; c++) {
            double apart = spread(work, s, c, &mean), slope = slope_of_phi(mean);
            at_mean += slope * slope;
            at_nodes += gradient_at_nodes(work, s, c);
            if (s >= later) variance += apart;
        }
    }
    double all = (double)work->samples * work->length;
    double late = (double)(work->samples - later) * work->length;
    printf("%.6g %.6g %.6g\n", at_mean / all, at_nodes / all, sqrt(variance / late));
}

/* ---- the two kinds of work ---- */

static int noise(char **argv) {
    work_t work = {.length = NOISE_LENGTH,
                   .nodes = atoi(argv[2]),
                   .steps = atoi(argv[3]),
                   .before = NOISE_BEFORE,
                   .every = NOISE_EVERY,
                   .seed = strtoull(argv[4], NULL, 10)};
    work.options.graph = (sgp_graph_t){.size = work.nodes, .peers = atoi(argv[1])};
    if (sgp_graph_parse(argv[0], &work.options.graph.kind) != SGP_OK) return 2;
    if (work.nodes < 1 || work.nodes > MOST_NODES || work.steps <= work.before) return 2;
    int failed = run_nodes(&work);
    if (!failed) print_variance(&work);
    free(work.z);
    return failed;
}

static sgp_status_t parse_algorithm(const char *name, sgp_mixer_options_t *options) {
    if (!strcmp(name, "async")) return options->overlap = SGP_OVERLAP_ASYNC, SGP_OK;
    sgp_status_t status = sgp_algorithm_parse(name, &options->algorithm);
    options->overlap = options->algorithm == SGP_ALGORITHM_OSGP;
    return status;
}

static int make_difference(work_t *work, double times) {
    sgp_random_t random;
    sgp_random_init(&random, work->seed, STREAM_DIFFERENCE);
    size_t length = (size_t)work->length, nodes = (size_t)work->nodes;
    work->difference = malloc(nodes * length * sizeof(float));
    if (!work->difference) return 1;
    for (size_t i = 0; i < nodes * length; i++)
        work->difference[i] = (float)(times * sgp_random_normal(&random));
    for (size_t c = 0; c < length; c++) {
        double sum = 0;
        for (size_t r = 0; r < nodes; r++) sum += (double)work->difference[r * length + c];
        for (size_t r = 0; r < nodes; r++)
            work->difference[r * length + c] -= (float)(sum / (double)nodes);
    }
    return 0;
}

static int train(char **argv) {
    work_t work = {.length = TRAIN_LENGTH,
                   .trains = true,
                   .nodes = atoi(argv[1]),
                   .steps = atoi(argv[2]),
                   .rate = strtof(argv[3], NULL),
                   .start = strtof(argv[4], NULL),
                   .seed = strtoull(argv[6], NULL, 10)};
    if (parse_algorithm(argv[0], &work.options) != SGP_OK) return 2;
    if (work.nodes < 1 || work.nodes > MOST_NODES || work.steps < 2) return 2;
    work.every = (work.steps + TRAIN_SAMPLES - 1) / TRAIN_SAMPLES;
    work.before = work.every / 2; /* the middle of the steps of a sample */
    int failed = make_difference(&work, atof(argv[5])) || run_nodes(&work);
    if (!failed) print_training(&work);
    free(work.difference);
    free(work.z);
    return failed;
}

int main(int argc, char **argv) {
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    int result = 2;
    if (argc == 7 && !strcmp(argv[1], "noise")) result = noise(argv + 2);
    if (argc == 9 && !strcmp(argv[1], "train")) result = train(argv + 2);
    if (result == 2)
        fprintf(stderr,
                "usage: %s noise GRAPH PEERS NODES STEPS SEED (STEPS above %d)\n"
                "       %s train ALGORITHM NODES STEPS RATE START DIFFERENCE SEED\n",
                argv[0], NOISE_BEFORE, argv[0]);
    return result;
}
