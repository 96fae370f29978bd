/* SPDX-License-Identifier: Apache-2.0 */
/* A training loop that goes on when nodes are killed, that a node can leave, and that others join.
 *
 * SGP_PORTS=7070-7090 sgp run --on-loss continue --nodes 4 -- ./elastic [STEPS]
 *
 * While it runs: kill -9 one of the processes, and the others go on. kill (SIGTERM) lets one leave:
 * it makes its step to the end, and what it has sent arrives. Another process joins at the address of
 * any of them, up to MOST_NODES nodes:
 *
 * ./elastic STEPS 127.0.0.1:7070
 *
 * It gets the optimizer's state from the node that it has called, and the parameters from the mixing.
 * The exact average, every ROUND steps, is that of the nodes that are there; from then on they are the
 * graph. As in train_own_loop.c each node has its own points, so the nodes that are left learn less of
 * the points of those that are gone. */
#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include <sgp/sgp.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FEATURES   16
#define P          (FEATURES + 1) /* weights and a bias */
#define POINTS     256            /* per node */
#define BATCH      32
#define STEPS      3000
#define MOST_NODES 8
#define ROUND      500 /* steps from one exact average to the next */

static const char ABOUT[] = "elastic.c, version 1"; /* what a newcomer must know */

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
static int gradient_at(const float *z /* (P) */, const float *points, const float *labels,
                       uint64_t step, float *gradient /* (P) */) {
    int right = 0;
    for (int p = 0; p < P; p++) gradient[p] = 0;
    for (int b = 0; b < BATCH; b++) {
        int i = (int)((step * BATCH + (uint64_t)b) % POINTS);
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

/* Says what has happened to the other nodes. */
static void look_at_events(sgp_group_t *group, uint64_t step) {
    sgp_event_t event;
    int rank = sgp_group_rank(group);
    while (sgp_group_next_event(group, &event) == SGP_OK) {
        int other = event.rank;
        if (other == rank) continue; /* its own place in the graph */
        if (event.kind == SGP_EVENT_LOST)
            printf("node %d: step %d, node %d is lost: %s\n", rank, (int)step, other, event.reason);
        else if (event.kind == SGP_EVENT_LEFT)
            printf("node %d: step %d, node %d has left\n", rank, (int)step, other);
        else if (event.kind == SGP_EVENT_JOINED)
            printf("node %d: step %d, node %d joins after step %d\n", rank, (int)step, other,
                   (int)event.step);
    }
}

/* The lowest rank that is there: its node has the duties that one node does for all. */
static int lowest(sgp_group_t *group) {
    char mine = 1, all[MOST_NODES];
    int rank = 0;
    must(sgp_group_gather(group, &mine, 1, all));
    while (!all[rank]) rank++;
    return rank;
}

/* ---- newcomers ---- */

/* The optimizer's state, for a newcomer. */
static sgp_status_t save_optimizer(void *optimizer, void **bytes, size_t *count) {
    size_t size = sgp_optimizer_state_size(optimizer);
    void *made = malloc(size);
    if (!made) return SGP_ERR_NO_MEMORY;
    sgp_status_t status = sgp_optimizer_state_save(optimizer, made, size);
    if (status != SGP_OK) {
        free(made);
        return status;
    }
    *bytes = made;
    *count = size;
    return SGP_OK;
}

/* This process comes later: what it gets from the node that it has called, before it has a mixer. */
static void load_optimizer(sgp_group_t *group, sgp_optimizer_t *optimizer) {
    void *state;
    size_t bytes;
    const char *about = sgp_group_blob(group, &bytes);
    if (bytes != sizeof ABOUT || memcmp(about, ABOUT, bytes) != 0) {
        sgp_group_decline(group, "its program is another one");
        exit(EXIT_FAILURE);
    }
    must(sgp_group_fetch(group, sgp_optimizer_state_size(optimizer), &state, &bytes));
    must(sgp_optimizer_state_load(optimizer, state, bytes));
    free(state);
}

/* Returns the steps made. */
static uint64_t train(sgp_group_t *group, sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                      uint64_t steps) {
    static float points[POINTS * FEATURES], labels[POINTS];
    float gradient[P];
    sgp_mixer_consensus_t consensus;
    int rank = sgp_group_rank(group), right = 0, batches = 0;
    uint64_t step = sgp_group_first_step(group);
    make_points(rank, points, labels);
    for (; step < steps && !leave; step++) {
        right += gradient_at(sgp_mixer_parameters(mixer), points, labels, step, gradient);
        batches++;
        must(sgp_mixer_step(mixer, optimizer, gradient, 0.01f)); /* also when others are gone */
        look_at_events(group, step + 1);
        if ((step + 1) % ROUND) continue;
        must(sgp_mixer_average(mixer, NULL, &consensus));
        if (rank == lowest(group))
            printf("node %d: step %d, %g nodes, accuracy %.2f\n", rank, (int)step + 1,
                   consensus.w_total, (double)right / (batches * BATCH));
        right = batches = 0;
    }
    return step;
}

int main(int argc, char **argv) {
    sgp_group_t *group;
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) : STEPS;
    const char *contacts = argc > 2 ? argv[2] : NULL;
    signal(SIGTERM, on_signal);
    setvbuf(stdout, NULL, _IOLBF, 0);

    sgp_group_options_t founder = {.elastic = 1, .capacity = MOST_NODES};
    sgp_group_options_t newcomer = {.contacts = contacts};
    must(sgp_group_join(contacts ? &newcomer : &founder, &group));
    must(
        sgp_optimizer_create(&(sgp_optimizer_options_t){.count = P, .momentum = 0.9f}, &optimizer));
    if (contacts) load_optimizer(group, optimizer);
    must(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = P}, NULL, &mixer));
    sgp_newcomers_t newcomers = {
        .blob = ABOUT, .blob_bytes = sizeof ABOUT, .snapshot = save_optimizer, .user = optimizer};
    must(sgp_group_accept(group, &newcomers));

    int rank = sgp_group_rank(group);
    uint64_t last = train(group, mixer, optimizer, steps);

    sgp_group_accept(group, NULL); /* the optimizer is about to end */
    sgp_optimizer_destroy(optimizer);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group); /* waits until the others have what this node has sent */
    printf("node %d: %s after step %d\n", rank, leave ? "left" : "done", (int)last);
    return 0;
}
