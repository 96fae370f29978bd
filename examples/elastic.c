/* SPDX-License-Identifier: Apache-2.0 */
/* A training loop that goes on when nodes are killed, and that a node can leave.
 *
 * sgp run --on-loss continue --nodes 4 -- ./elastic [STEPS]
 *
 * While it runs: kill -9 one of the processes, and the others go on. kill (SIGTERM) lets one leave:
 * it makes its step to the end, and what it has sent arrives. The exact average, every ROUND steps,
 * is that of the nodes that are there; from then on they are the graph. As in train_own_loop.c each
 * node has its own points, so the nodes that are left learn less of the points of those that are gone. */
#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include <sgp/sgp.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FEATURES   16
#define P          (FEATURES + 1) /* weights and a bias */
#define POINTS     256            /* per node */
#define BATCH      32
#define STEPS      3000
#define MOST_NODES 64
#define ROUND      500 /* steps from one exact average to the next */

static volatile sig_atomic_t leave;

static void on_signal(int number) {
    leave = number;
}

static void must(sgp_status_t status) {
    if (status == SGP_OK) return;
    fprintf(stderr, "elastic: %s: %s\n", sgp_status_name(status), sgp_last_error());
    exit(EXIT_FAILURE);
}

/* Uniform in [-1, 1); a small generator that gives the same numbers everywhere. */
static float draw(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

/* points: (POINTS, FEATURES), labels: (POINTS) 0 or 1. */
static void make_points(int node, float *points, float *labels) {
    unsigned seed = 1u + (unsigned)node;
    for (int i = 0; i < POINTS; i++) {
        labels[i] = draw(&seed) > 0;
        for (int f = 0; f < FEATURES; f++) {
            float centre = f % 4 == node % 4 ? 1.2f : 0.0f;
            points[i * FEATURES + f] = draw(&seed) + (labels[i] > 0 ? centre : -centre);
        }
    }
}

/* Mean gradient of the cross-entropy over a batch of points at z, and the batch's right predictions. The
 * pause stands for a model that takes its time. */
static int gradient_at(const float *z /* (P) */, const float *points, const float *labels, int step,
                       float *gradient /* (P) */) {
    int right = 0;
    for (int p = 0; p < P; p++) gradient[p] = 0;
    for (int b = 0; b < BATCH; b++) {
        int i = (step * BATCH + b) % POINTS;
        const float *point = points + i * FEATURES;
        float logit = z[FEATURES];
        for (int f = 0; f < FEATURES; f++) logit += z[f] * point[f];
        float guess = 1.0f / (1.0f + expf(-logit)), error = (guess - labels[i]) / BATCH;
        for (int f = 0; f < FEATURES; f++) gradient[f] += error * point[f];
        gradient[FEATURES] += error;
        right += (guess > 0.5f) == (labels[i] > 0.5f);
    }
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return right;
}

/* What has happened to the other nodes. Returns the lowest rank that is left: its node has the duties that one node does for
 * all. gone: (nodes) the caller's, zeros at first. */
static int look_at_events(sgp_group_t *group, int step, char *gone) {
    sgp_event_t event;
    int rank = sgp_group_rank(group), first = 0;
    while (sgp_group_next_event(group, &event) == SGP_OK) {
        if (event.kind != SGP_EVENT_LOST && event.kind != SGP_EVENT_LEFT) continue;
        gone[event.rank] = 1;
        if (event.kind == SGP_EVENT_LOST)
            printf("node %d: step %d, node %d is lost: %s\n", rank, step, event.rank, event.reason);
        else printf("node %d: step %d, node %d has left\n", rank, step, event.rank);
    }
    while (gone[first]) first++;
    return first;
}

int main(int argc, char **argv) {
    static float points[POINTS * FEATURES], labels[POINTS];
    float gradient[P];
    sgp_group_t *group;
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    sgp_mixer_consensus_t consensus;
    int steps = argc > 1 ? atoi(argv[1]) : STEPS, right = 0, step;
    static char gone[MOST_NODES + 1];
    signal(SIGTERM, on_signal);
    setvbuf(stdout, NULL, _IOLBF, 0);

    must(sgp_group_join(&(sgp_group_options_t){.elastic = 1}, &group));
    int rank = sgp_group_rank(group);
    if (sgp_group_size(group) > MOST_NODES) return EXIT_FAILURE;
    make_points(rank, points, labels);
    must(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = P}, NULL, &mixer));
    must(
        sgp_optimizer_create(&(sgp_optimizer_options_t){.count = P, .momentum = 0.9f}, &optimizer));

    for (step = 1; step <= steps && !leave; step++) {
        right += gradient_at(sgp_mixer_parameters(mixer), points, labels, step, gradient);
        must(sgp_mixer_step(mixer, optimizer, gradient, 0.01f)); /* also when others are gone */
        int first = look_at_events(group, step, gone);
        if (step % ROUND) continue;
        must(sgp_mixer_average(mixer, NULL, &consensus));
        if (rank == first)
            printf("node %d: step %d, %g nodes, accuracy %.2f\n", rank, step, consensus.w_total,
                   (double)right / (ROUND * BATCH));
        right = 0;
    }

    sgp_optimizer_destroy(optimizer);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group); /* waits until the others have what this node has sent */
    printf("node %d: %s after step %d\n", rank, leave ? "left" : "done", step - 1);
    return 0;
}
