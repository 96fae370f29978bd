/* SPDX-License-Identifier: Apache-2.0 */
/* Conservation of mass at the size of a ResNet-50, in every step and at every coordinate, over shared memory. */
#include "ranks.h"

#include "base/memory.h"

#include <sgp/mixer.h>

#include <math.h>

#define NODES 4
#define COUNT ((size_t)25557032)
#define STEPS 4

static float *vectors[NODES]; /* (COUNT) z of each node */
static double weights[NODES];
static double *expected; /* (COUNT) the sum of x, as the local steps make it */

/* Cheap, different everywhere, in [-1, 1). */
static float value_of(int rank, int step, size_t i) {
    uint64_t mix = (i * 4 + (uint64_t)rank + (uint64_t)step * 7919) * 0x9e3779b97f4a7c15u;
    return (float)(int32_t)(mix >> 32) * 0x1p-31f;
}

/* Each node looks at its quarter of the coordinates, at all nodes' vectors. A step rounds each coordinate of each node
 * once in the update and at most three times while absorbing. */
static void check_quarter(int rank, int steps) {
    size_t begin = COUNT * (size_t)rank / NODES, end = COUNT * ((size_t)rank + 1) / NODES;
    double worst = 0;
    for (size_t i = begin; i < end; i++) {
        double sum = 0, size = 0;
        for (int r = 0; r < NODES; r++) {
            sum += weights[r] * vectors[r][i];
            size += fabs(weights[r] * vectors[r][i]) + 1;
        }
        worst = fmax(worst, fabs(sum - expected[i]) / size);
    }
    CHECK(worst < 4 * steps * 0x1p-24);
    CHECK(worst > 0); /* and it looked at something that was rounded */
}

static void add_expected(int rank, int step, double factor) {
    size_t begin = COUNT * (size_t)rank / NODES, end = COUNT * ((size_t)rank + 1) / NODES;
    for (size_t i = begin; i < end; i++)
        for (int r = 0; r < NODES; r++) expected[i] += factor * (double)value_of(r, step, i);
}

static void check_weights(void) {
    double total = 0;
    for (int r = 0; r < NODES; r++) total += weights[r];
    CHECK(fabs(total - NODES) < 1e-12);
}

static void body(sgp_group_t *group, void *context) {
    int rank = sgp_group_rank(group);
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    sgp_mixer_options_t options = {.count = COUNT, .graph = *(sgp_graph_t *)context};
    float *gradient = sgp_memory_alloc(COUNT * sizeof *gradient);
    for (size_t i = 0; i < COUNT; i++) gradient[i] = value_of(rank, 0, i);
    CHECK(sgp_mixer_create(group, &options, gradient, &mixer) == SGP_OK);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    vectors[rank] = sgp_mixer_parameters(mixer);
    add_expected(rank, 0, 1);
    for (int step = 1; step <= STEPS; step++) {
        for (size_t i = 0; i < COUNT; i++) gradient[i] = value_of(rank, step, i);
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, 0.5f) == SGP_OK);
        sgp_mixer_statistics_t statistics;
        sgp_mixer_statistics(mixer, &statistics);
        weights[rank] = statistics.weight;
        add_expected(rank, step, -0.5);
        CHECK(sgp_group_barrier(group) == SGP_OK);
        check_quarter(rank, step);
        check_weights();
        CHECK(sgp_group_barrier(group) == SGP_OK);
    }
    sgp_mixer_consensus_t consensus;
    CHECK(sgp_mixer_average(mixer, NULL, &consensus) == SGP_OK);
    CHECK(fabs(consensus.w_total - NODES) < 1e-12);
    CHECK(consensus.drift < 4 * STEPS * 0x1p-24);
    CHECK(sgp_group_barrier(group) == SGP_OK);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    sgp_memory_free(gradient);
}

static void run_graph(sgp_graph_t graph) {
    expected = sgp_memory_alloc(COUNT * sizeof *expected);
    assert_non_null(expected);
    ranks_setup_t setup = {.shm = true, .loopback = {.size = NODES}};
    run_groups(&setup, body, &graph);
    sgp_memory_free(expected);
}

static void test_one_peer(void **state) {
    (void)state;
    run_graph((sgp_graph_t){.peers = 1});
}

/* Thirds: weights and shares are rounded. */
static void test_two_peers(void **state) {
    (void)state;
    run_graph((sgp_graph_t){.kind = SGP_GRAPH_RING, .peers = 2});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_peer),
        cmocka_unit_test(test_two_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
