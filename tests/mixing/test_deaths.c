/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes die at random calls of their transport, in virtual time, with every algorithm, whole steps and steps in parts: nobody
 * waits for ever, no coordinate leaves the range of the start (the learning rate is 0), all that return from an exact
 * average have the same mean, and their weights add up to their number. */
#include "mixing/small_mixers.h"

#include "base/constants.h"
#include "group/agree_call.h"
#include "mixing/holes.h"
#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"
#include "mixing/round_graph.h"

#include <math.h>
#include <string.h>

enum { PERIODS = 3, STEPS = 9, MOST_NODES = 8, BUFFERS = 5 };

typedef enum way { WHOLE, PARTS, MIXED, HELD } way_t;

typedef struct trial {
    sgp_mixer_options_t options;
    way_t way;
    bool
        learns; /* all begin alike, and each has gradients of its own; all-reduce keeps them alike */
    bool adam;
    int size;
    uint64_t seed;
    sgp_loopback_fault_t faults[MOST_NODES];
    int fault_count;
    /* Results. */
    bool died[MOST_NODES];
    int averages[MOST_NODES];
    float mean[MOST_NODES][PERIODS][LENGTH], z[MOST_NODES][LENGTH];
    sgp_mixer_consensus_t consensus[MOST_NODES][PERIODS];
    double w[MOST_NODES][PERIODS]; /* after each average */
    uint64_t calls[MOST_NODES], end[MOST_NODES];
} trial_t;

static bool is_killed(const sgp_transport_t *transport) {
    return sgp_fates_of(transport->fates, transport->rank).state == SGP_FATE_LOST;
}

static void check_hull(const trial_t *trial, const float *z) {
    if (trial->learns) return;
    float slack = sgp_encoding_is_lossy(trial->options.encoding) ? 0.1f : 1e-5f;
    for (size_t i = 0; i < LENGTH; i++) {
        float low = INFINITY, high = -INFINITY;
        for (int r = 0; r < trial->size; r++) {
            low = fminf(low, initial_value(r, i));
            high = fmaxf(high, initial_value(r, i));
        }
        CHECK(z[i] >= low - slack && z[i] <= high + slack);
    }
}

typedef struct node {
    trial_t *trial;
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    float gradient[LENGTH]; /* zeros */
    int rank;
    sgp_random_t random;
} node_t;

/* From the end to the beginning, as in a backward pass. */
static sgp_status_t step_in_parts(node_t *node) {
    size_t end = LENGTH;
    sgp_status_t status = sgp_mixer_begin(node->mixer, node->optimizer, node->gradient, 0.1f);
    while (status == SGP_OK && end > 0) {
        size_t count = 1 + (size_t)sgp_random_below(&node->random, 100);
        if (count > end) count = end;
        status = sgp_mixer_part(node->mixer, end -= count, count);
    }
    if (status == SGP_OK) status = sgp_mixer_end(node->mixer);
    size_t half = (size_t)sgp_random_below(&node->random, LENGTH);
    return status == SGP_OK ? sgp_mixer_wait(node->mixer, half, LENGTH - half) : status;
}

/* Time passes, while the progress thread works. */
static void compute(node_t *node) {
    sgp_transport_t *transport = node->mixer->transport;
    uint64_t until =
        sgp_transport_now(transport) + sgp_random_below(&node->random, 3 * SGP_MILLISECOND);
    sgp_transport_lock(transport);
    while (sgp_transport_now(transport) < until) sgp_transport_pause(transport, until);
    sgp_transport_unlock(transport);
}

static sgp_status_t one_step(node_t *node, int step) {
    const trial_t *trial = node->trial;
    compute(node);
    for (size_t i = 0; i < LENGTH && trial->learns; i++)
        node->gradient[i] = sgp_mixer_parameters(node->mixer)[i] - initial_value(node->rank, i);
    bool parts = trial->way == PARTS || (trial->way == MIXED && (node->rank + step) % 2);
    if (parts) return step_in_parts(node);
    if (trial->way != HELD)
        return sgp_mixer_step(node->mixer, node->optimizer, node->gradient, 0.1f);
    sgp_status_t status = sgp_mixer_hold(node->mixer);
    return status == SGP_OK ? sgp_mixer_step(node->mixer, NULL, NULL, 0.1f) : status;
}

static sgp_status_t average(node_t *node) {
    trial_t *trial = node->trial;
    int rank = node->rank, period = trial->averages[rank];
    sgp_mixer_consensus_t *consensus = &trial->consensus[rank][period];
    sgp_status_t status = sgp_mixer_average(node->mixer, trial->mean[rank][period], consensus);
    if (status != SGP_OK) return status;
    CHECK(fabs(consensus->w_total - round(consensus->w_total)) < 1e-9);
    CHECK(consensus->drift < 1e-4);
    CHECK(!trial->learns || consensus->distance < 1e-6);
    check_hull(trial, trial->mean[rank][period]);
    sgp_mixer_statistics_t statistics;
    sgp_mixer_statistics(node->mixer, &statistics);
    trial->w[rank][period] = statistics.weight;
    trial->averages[rank]++;
    return SGP_OK;
}

static sgp_status_t live(node_t *node) {
    sgp_status_t status = SGP_OK;
    for (int period = 0; period < PERIODS && status == SGP_OK; period++) {
        for (int k = 0; k < STEPS && status == SGP_OK; k++) {
            status = one_step(node, period * STEPS + k);
            if (status == SGP_OK) check_hull(node->trial, sgp_mixer_parameters(node->mixer));
        }
        if (status == SGP_OK) status = average(node);
    }
    return status;
}

static void make(node_t *node, sgp_group_t *group) {
    const trial_t *trial = node->trial;
    float initial[LENGTH];
    for (size_t i = 0; i < LENGTH; i++)
        initial[i] = initial_value(trial->learns ? 0 : node->rank, i);
    sgp_optimizer_options_t options = {.count = LENGTH - BUFFERS, .momentum = 0.5f};
    if (trial->adam)
        options = (sgp_optimizer_options_t){.count = LENGTH - BUFFERS, .kind = SGP_OPTIMIZER_ADAM};
    CHECK(sgp_optimizer_create(&options, &node->optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &trial->options, initial, &node->mixer) == SGP_OK);
}

static void body(sgp_transport_t *transport, void *context) {
    trial_t *trial = context;
    sgp_group_t *group = NULL;
    int rank = transport->rank;
    node_t *node = calloc(1, sizeof *node);
    node->trial = trial;
    node->rank = rank;
    sgp_random_init(&node->random, trial->seed, (uint64_t)rank);
    transport->elastic = true;
    sgp_status_t status = sgp_group_found(transport, 60000, &group);
    make(node, group);
    if (status == SGP_OK && node->mixer) status = live(node);
    trial->died[rank] = is_killed(transport);
    CHECK(status == SGP_OK || trial->died[rank]);
    trial->calls[rank] = sgp_loopback_calls(transport);
    trial->end[rank] = sgp_transport_now(transport);
    if (node->mixer)
        memcpy(trial->z[rank], sgp_mixer_parameters(node->mixer), sizeof trial->z[rank]);
    sgp_mixer_destroy(node->mixer);
    sgp_optimizer_destroy(node->optimizer);
    free(node);
    if (trial->died[rank]) sgp_group_abort(group);
    else sgp_group_leave(group);
    trial->died[rank] |=
        is_killed(transport); /* in leaving: the others may have averaged without it */
}

/* ---- nodes that see the graph differently ---- */

/* Node `odd` alone takes node 0 for lost, so that its place and its role are others. */
static void disagree(sgp_group_t *group, void *context) {
    int odd = *(int *)context, rank = sgp_group_rank(group), size = sgp_group_size(group);
    bool there[MOST_NODES] = {false};
    sgp_mixer_options_t options = {.count = LENGTH, .algorithm = SGP_ALGORITHM_ADPSGD};
    CHECK(sgp_group_become_elastic(group) == SGP_OK);
    sgp_mixer_t *mixer = make_mixer(group, &options);
    for (int period = 0; period < 2; period++) {
        for (int r = 0; r < size; r++) there[r] = r > 0 || period > 0 || rank != odd;
        CHECK(sgp_mixer_settle(mixer) == SGP_OK);
        sgp_holes_reform(mixer, there);
        CHECK(sgp_mixer_resume(mixer) == SGP_OK);
        for (int k = 0; k < 12; k++) CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
        float mean[LENGTH];
        sgp_mixer_consensus_t consensus;
        CHECK(sgp_mixer_average(mixer, mean, &consensus) == SGP_OK);
        CHECK(period == 0 || consensus.distance < 0.05);
        for (size_t i = 0; i < LENGTH; i++) {
            double sum = 0;
            for (int r = 0; r < size; r++) sum += initial_value(r, i);
            CHECK(fabs(mean[i] - sum / size) < 1e-5);
        }
    }
    sgp_mixer_destroy(mixer);
}

static void test_refusals(void **state) {
    (void)state;
    for (int size = 3; size <= 6; size++)
        for (int odd = 1; odd < size; odd++) {
            ranks_setup_t setup = reordering(size, (uint64_t)(size + odd));
            run_groups(&setup, disagree, &odd);
        }
}

static void run(trial_t *trial) {
    ranks_setup_t setup = reordering(trial->size, trial->seed);
    setup.loopback.delay_max_ns = 3000000;
    setup.loopback.faults = trial->faults;
    setup.loopback.fault_count = trial->fault_count;
    trial->options.count = LENGTH - BUFFERS;
    trial->options.buffers = BUFFERS;
    memset(trial->averages, 0, sizeof trial->averages);
    memset(trial->w, 0, sizeof trial->w);
    run_transports(&setup, body, trial);
}

/* Each average has the same result on all survivors, and the weights are those of the nodes that took part: the survivors,
 * and perhaps some that died soon after. */
static void check(const trial_t *trial) {
    int survivors = 0, first = -1;
    for (int r = 0; r < trial->size; r++) {
        survivors += !trial->died[r];
        if (first < 0 && !trial->died[r]) first = r;
    }
    assert_true(survivors > 0);
    for (int r = first; r < trial->size; r++) {
        if (trial->died[r]) continue;
        assert_int_equal(trial->averages[r], PERIODS);
        assert_memory_equal(trial->mean[r], trial->mean[first], sizeof trial->mean[r]);
        if (trial->learns)
            assert_memory_equal(trial->z[r], trial->z[first], (LENGTH - BUFFERS) * sizeof(float));
        for (int period = 0; period < PERIODS; period++) {
            double total = trial->consensus[r][period].w_total;
            assert_true(total > survivors - 1e-9 && total < trial->size + 1e-9);
        }
    }
}

/* The weights after the last average, of a trial in which nobody died in it. */
static void check_weights(const trial_t *trial) {
    double w = 0, count = 0;
    for (int r = 0; r < trial->size; r++) w += trial->w[r][PERIODS - 1];
    for (int r = 0; r < trial->size; r++) count += trial->averages[r] == PERIODS;
    assert_true(fabs(w - count) < 1e-9);
}

static double limit_of(const trial_t *trial) {
    uint64_t latest = 0;
    for (int r = 0; r < trial->size; r++)
        if (!trial->died[r] && trial->end[r] > latest) latest = trial->end[r];
    return (double)latest * 1e-9;
}

/* First without deaths, which tells how many calls there are; then with some. */
static void kill_some(trial_t *trial, sgp_random_t *random) {
    run(trial);
    check(trial);
    check_weights(trial);
    double before = limit_of(trial);
    int deaths = 1 + (int)sgp_random_below(random, (uint64_t)(trial->size - 1));
    int first = (int)sgp_random_below(random, (uint64_t)trial->size);
    for (int i = 0; i < deaths; i++) {
        int seat = (first + i) % trial->size;
        sgp_loopback_fault_t fault = {.kind = SGP_FAULT_KILL_AT_CALL, .seat = seat};
        fault.call = 1 + sgp_random_below(random, trial->calls[seat]);
        trial->faults[trial->fault_count++] = fault;
    }
    run(trial);
    check(trial);
    assert_true(limit_of(trial) < before + 0.6 * (deaths + 1));
}

static const struct {
    sgp_algorithm_t algorithm;
    int overlap;
    way_t way;
    sgp_graph_kind_t graph;
    bool learns;
    int rounds;
} ways[] = {
    {SGP_ALGORITHM_SGP, 0, PARTS, SGP_GRAPH_EXPONENTIAL, false, 1},
    {SGP_ALGORITHM_SGP, 0, MIXED, SGP_GRAPH_COMPLETE, false, 1},
    {SGP_ALGORITHM_DPSGD, 0, MIXED, SGP_GRAPH_BIPARTITE_EXPONENTIAL, false, 1},
    {SGP_ALGORITHM_SGP, 0, WHOLE, SGP_GRAPH_EXPONENTIAL, false, 3},
    {SGP_ALGORITHM_SGP, 0, PARTS, SGP_GRAPH_RANDOM, false, 2},
    {SGP_ALGORITHM_DPSGD, 0, MIXED, SGP_GRAPH_BIPARTITE_EXPONENTIAL, false, 2},
    {SGP_ALGORITHM_OSGP, 1, PARTS, SGP_GRAPH_EXPONENTIAL, false, 1},
    {SGP_ALGORITHM_OSGP, 2, MIXED, SGP_GRAPH_STATIC_EXPONENTIAL, false, 1},
    {SGP_ALGORITHM_OSGP, 1, HELD, SGP_GRAPH_RANDOM, false, 1},
    {SGP_ALGORITHM_ADPSGD, 0, WHOLE, SGP_GRAPH_BIPARTITE_EXPONENTIAL, false, 1},
    {SGP_ALGORITHM_ADPSGD, 0, HELD, SGP_GRAPH_BIPARTITE_EXPONENTIAL, false, 1},
    {SGP_ALGORITHM_ALLREDUCE, 0, WHOLE, SGP_GRAPH_EXPONENTIAL, true, 1},
    {SGP_ALGORITHM_ALLREDUCE, 0, HELD, SGP_GRAPH_EXPONENTIAL, false, 1},
    {SGP_ALGORITHM_ALLREDUCE, 0, PARTS, SGP_GRAPH_EXPONENTIAL, true, 1},
    {SGP_ALGORITHM_ALLREDUCE, 0, MIXED, SGP_GRAPH_EXPONENTIAL, true, 1},
};

static uint64_t rounds = 1; /* the arguments, by hand: more, and of one way alone */
static int only = -1;

static void test_kills(void **state) {
    (void)state;
    size_t count = sizeof ways / sizeof *ways;
    for (uint64_t seed = 0; seed < rounds * count; seed++) {
        size_t w = seed % count;
        sgp_random_t random;
        sgp_random_init(&random, seed, 6);
        if (only >= 0 && w != (size_t)only) continue;
        trial_t *trial = calloc(1, sizeof *trial);
        assert_non_null(trial);
        trial->seed = seed;
        trial->size = 2 + (int)sgp_random_below(&random, 7);
        trial->way = ways[w].way;
        trial->learns = ways[w].learns;
        trial->adam = seed / count % 2;
        trial->options.algorithm = ways[w].algorithm;
        trial->options.overlap = ways[w].overlap;
        trial->options.rounds = ways[w].rounds;
        trial->options.graph = (sgp_graph_t){.kind = ways[w].graph, .size = trial->size};
        double encoding = sgp_random_double(&random);
        if (encoding < 0.3) trial->options.encoding = SGP_ENCODING_BFLOAT16;
        else if (encoding < 0.6) trial->options.encoding = SGP_ENCODING_INT8;
        kill_some(trial, &random);
        free(trial);
    }
}

int main(int argc, char **argv) {
    if (argc > 1) rounds = (uint64_t)atoll(argv[1]);
    if (argc > 2) only = atoi(argv[2]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_kills)};
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
