/* SPDX-License-Identifier: Apache-2.0 */
/* A hand-written training loop, here logistic regression, made distributed by five calls.
 *
 * sgp run --nodes 4 -- ./train_own_loop
 *
 * Each node has its own points, which no other node sees: two clouds around +-centre. Node r's
 * centre lies in direction r, so no single node can learn the whole rule; together the nodes do. */
#include <sgp/sgp.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FEATURES 16
#define P        (FEATURES + 1) /* weights and a bias */
#define POINTS   512            /* per node */
#define BATCH    32
#define STEPS    400

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)user;
    fprintf(stderr, "train_own_loop: node %d: %s\n", rank, line);
}

static void must(sgp_status_t status) {
    if (status != SGP_OK) exit(EXIT_FAILURE); /* the log has the cause */
}

/* Uniform in [-1, 1); a small generator that gives the same numbers everywhere. */
static float draw(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

/* points: (POINTS, FEATURES), labels: (POINTS) 0 or 1. */
static void make_points(int node, unsigned seed, float *points, float *labels) {
    for (int i = 0; i < POINTS; i++) {
        labels[i] = draw(&seed) > 0;
        for (int f = 0; f < FEATURES; f++) {
            float centre = f % 4 == node % 4 ? 1.2f : 0.0f;
            points[i * FEATURES + f] = draw(&seed) + (labels[i] > 0 ? centre : -centre);
        }
    }
}

static float predict(const float *z /* (P) */, const float *point /* (FEATURES) */) {
    float logit = z[FEATURES];
    for (int f = 0; f < FEATURES; f++) logit += z[f] * point[f];
    return 1.0f / (1.0f + expf(-logit));
}

/* Mean gradient of the cross-entropy over a batch of points at z. gradient: (P). */
static void gradient_at(const float *z, const float *points, const float *labels, int step,
                        float *gradient) {
    for (int p = 0; p < P; p++) gradient[p] = 0;
    for (int b = 0; b < BATCH; b++) {
        int i = (step * BATCH + b) % POINTS;
        const float *point = points + i * FEATURES;
        float error = (predict(z, point) - labels[i]) / BATCH;
        for (int f = 0; f < FEATURES; f++) gradient[f] += error * point[f];
        gradient[FEATURES] += error;
    }
}

static double accuracy(const float *z, const float *points, const float *labels) {
    int right = 0;
    for (int i = 0; i < POINTS; i++)
        right += (predict(z, points + i * FEATURES) > 0.5f) == (labels[i] > 0.5f);
    return (double)right / POINTS;
}

/* Over new points of all nodes. */
static double accuracy_everywhere(const float *z, int nodes) {
    static float points[POINTS * FEATURES], labels[POINTS];
    double sum = 0;
    for (int node = 0; node < nodes; node++) {
        make_points(node, 1000u + (unsigned)node, points, labels);
        sum += accuracy(z, points, labels);
    }
    return sum / nodes;
}

int main(void) {
    static float points[POINTS * FEATURES], labels[POINTS];
    float gradient[P], average[P];
    sgp_group_t *group;
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    sgp_mixer_consensus_t consensus;
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);

    must(sgp_group_join(&(sgp_group_options_t){0}, &group)); /* rank and size from the launcher */
    int rank = sgp_group_rank(group), nodes = sgp_group_size(group);
    make_points(rank, 1u + (unsigned)rank, points, labels);

    must(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = P}, NULL, &mixer));
    must(
        sgp_optimizer_create(&(sgp_optimizer_options_t){.count = P, .momentum = 0.9f}, &optimizer));
    for (int step = 0; step < STEPS; step++) {
        gradient_at(sgp_mixer_parameters(mixer), points, labels, step, gradient);
        must(sgp_mixer_step(mixer, optimizer, gradient, 0.05f)); /* local step, push, absorb */
    }
    double own = accuracy_everywhere(sgp_mixer_parameters(mixer), nodes);
    must(sgp_mixer_average(mixer, average, &consensus));

    printf("node %d: accuracy on the points of all nodes %.3f\n", rank, own);
    if (rank == 0)
        printf("average of %d nodes: accuracy %.3f, consensus distance %.1e, total weight %g\n",
               nodes, accuracy_everywhere(average, nodes), consensus.distance, consensus.w_total);
    sgp_optimizer_destroy(optimizer);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
    return 0;
}
