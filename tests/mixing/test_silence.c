/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes stand still, are cut off one way or both, and die, at any moment, in virtual time, and the others mix on: nobody
 * waits for ever, no weight is lost or counted twice, and no coordinate leaves the range of the start. */
#include "mixing/small_mixers.h"

#include "base/constants.h"
#include "group/agree_call.h"
#include "group/membership.h"
#include "mixing/late.h"
#include "mixing/mixer_internal.h"
#include "mixing/mixer_core.h"

#include <math.h>
#include <string.h>

enum { MOST_NODES = 8, MOST_FAULTS = 3, STEPS = 60, CHUNKS = 6 };

#define COMPUTE_NS (100 * SGP_MILLISECOND) /* a gradient */
#define DELAY_NS   (20 * SGP_MILLISECOND)  /* of a message at most */

typedef struct trial {
    sgp_mixer_options_t options;
    int size;
    uint64_t seed;
    size_t capacity; /* chunks of room; 0: no limit */
    sgp_loopback_fault_t faults[MOST_FAULTS];
    int fault_count;
    uint64_t compute[MOST_NODES];
    /* Results. */
    double w[MOST_NODES]; /* settled */
    uint64_t sent[MOST_NODES][MOST_NODES], got[MOST_NODES][MOST_NODES];
    double total[MOST_NODES]; /* of all weights, by the average */
    float mean[MOST_NODES][LENGTH], z[MOST_NODES][LENGTH];
    uint64_t time[MOST_NODES]; /* virtual, of its STEPS steps */
    sgp_mixer_statistics_t statistics[MOST_NODES];
    uint64_t interrupted[MOST_NODES];
    bool ended[MOST_NODES];
} trial_t;

static void compute(sgp_transport_t *transport, uint64_t ns) {
    uint64_t until = sgp_transport_now(transport) + ns;
    sgp_transport_lock(transport);
    while (sgp_transport_now(transport) < until &&
           sgp_transport_pause(transport, until) == SGP_OK) {
    }
    sgp_transport_unlock(transport);
}

static void check_hull(const trial_t *trial, const float *z) {
    float slack = trial->options.encoding == SGP_ENCODING_BFLOAT16 ? 0.1f : 1e-5f;
    for (size_t i = 0; i < LENGTH; i++) {
        float low = INFINITY, high = -INFINITY;
        for (int r = 0; r < trial->size; r++) {
            low = fminf(low, initial_value(r, i));
            high = fmaxf(high, initial_value(r, i));
        }
        CHECK(z[i] >= low - slack && z[i] <= high + slack);
    }
}

/* A node that knows of an event keeps a quarter, if it had one. */
static void check_floor(const trial_t *trial, const sgp_mixer_t *mixer, double before) {
    double least = 0.24 / (1 + (double)trial->options.overlap);
    if (sgp_graph_max_degree(&trial->options.graph) > 1 || trial->options.overlap < 0) return;
    CHECK(!mixer->holes.stirred || before < 0.25 || mixer->w > least);
}

/* Until the mixer has made or passed over `end` steps. false: the node is dead. */
static bool steps(trial_t *trial, sgp_mixer_t *mixer, int rank, uint64_t end) {
    sgp_mixer_statistics_t *statistics = &trial->statistics[rank];
    while (mixer->step < end) {
        double before = mixer->w;
        compute(mixer->transport, trial->compute[rank]);
        sgp_status_t status = sgp_mixer_step(mixer, NULL, NULL, 0);
        sgp_mixer_statistics(mixer, statistics);
        if (sgp_transport_now(mixer->transport) == UINT64_MAX) return false;
        CHECK(status == SGP_OK);
        if (status != SGP_OK) return false;
        check_hull(trial, sgp_mixer_parameters(mixer));
        check_floor(trial, mixer, before);
        CHECK(mixer->step == statistics->steps + statistics->passed_over);
    }
    CHECK(mixer->step == end);
    return true;
}

static bool live(trial_t *trial, sgp_mixer_t *mixer, int rank) {
    sgp_mixer_consensus_t consensus;
    if (!steps(trial, mixer, rank, STEPS)) return false;
    trial->time[rank] = sgp_transport_now(mixer->transport);
    if (sgp_mixer_settle(mixer) != SGP_OK) return false;
    trial->w[rank] = mixer->w;
    trial->interrupted[rank] = sgp_late_interruptions(mixer);
    for (int r = 0; r < trial->size; r++) {
        trial->sent[rank][r] = mixer->holes.sent[r];
        trial->got[rank][r] = mixer->holes.got[r];
    }
    if (sgp_mixer_average(mixer, trial->mean[rank], &consensus) != SGP_OK) return false;
    trial->total[rank] = consensus.w_total;
    CHECK(consensus.drift < 1e-5);
    if (!steps(trial, mixer, rank, STEPS + 20)) return false;
    if (sgp_mixer_average(mixer, NULL, &consensus) != SGP_OK) return false;
    CHECK(consensus.drift < 1e-5);
    memcpy(trial->z[rank], sgp_mixer_parameters(mixer), sizeof trial->z[rank]);
    trial->ended[rank] = true;
    return true;
}

static void body(sgp_transport_t *transport, void *context) {
    trial_t *trial = context;
    sgp_group_t *group = NULL;
    transport->elastic = true;
    CHECK(sgp_group_found(transport, 60000, &group) == SGP_OK);
    /* Here nobody is dead for being silent: test_membership.c. */
    sgp_membership_configure(sgp_group_membership(group),
                             &(sgp_membership_options_t){.quorum = -1,
                                                         .dead_ns = UINT64_MAX / 2,
                                                         .dead_together_ns = UINT64_MAX / 2});
    sgp_mixer_t *mixer = make_mixer(group, &trial->options);
    bool lives = mixer && live(trial, mixer, transport->rank);
    sgp_mixer_destroy(mixer);
    if (lives) sgp_group_leave(group);
    else sgp_group_abort(group);
}

static void run(trial_t *trial) {
    ranks_setup_t setup = reordering(trial->size, trial->seed);
    setup.loopback.delay_max_ns = DELAY_NS;
    setup.loopback.chunk_bytes = 256;
    setup.loopback.faults = trial->faults;
    setup.loopback.fault_count = trial->fault_count;
    setup.loopback.capacity = trial->capacity;
    trial->options.count = LENGTH;
    run_transports(&setup, body, trial);
}

static bool dies(const trial_t *trial, int rank) {
    for (int f = 0; f < trial->fault_count; f++)
        if (trial->faults[f].kind == SGP_FAULT_KILL && trial->faults[f].seat == rank) return true;
    return false;
}

/* Each message between two nodes that live is absorbed once, and without deaths all weight is there. */
static void check(const trial_t *trial) {
    double w = 0;
    int first = -1;
    bool any_dies = false;
    for (int r = 0; r < trial->size; r++) {
        any_dies |= dies(trial, r);
        if (dies(trial, r)) continue;
        if (first < 0) first = r;
        assert_true(trial->ended[r]);
        assert_memory_equal(trial->mean[r], trial->mean[first], sizeof trial->mean[r]);
        w += trial->w[r];
        for (int o = 0; o < trial->size; o++)
            if (!dies(trial, o)) assert_int_equal(trial->sent[r][o], trial->got[o][r]);
    }
    if (!any_dies && fabs(w - trial->size) > 1e-12 * trial->size)
        fail_msg("the weights of %d nodes add up to %.17g", trial->size, w);
    for (int r = 0; r < trial->size; r++)
        if (!dies(trial, r)) assert_true(fabs(trial->total[r] - round(trial->total[r])) < 1e-9);
}

static trial_t *trial_of(int size, sgp_algorithm_t algorithm, int overlap, uint64_t seed) {
    trial_t *trial = calloc(1, sizeof *trial);
    assert_non_null(trial);
    trial->size = size;
    trial->seed = seed;
    trial->options.algorithm = algorithm;
    trial->options.overlap = overlap;
    trial->options.graph.size = size;
    trial->options.passes_over = 1;
    if (algorithm == SGP_ALGORITHM_DPSGD)
        trial->options.graph.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL;
    for (int r = 0; r < size; r++) trial->compute[r] = COMPUTE_NS;
    return trial;
}

static const struct {
    sgp_algorithm_t algorithm;
    int overlap, rounds;
} ways[] = {
    {SGP_ALGORITHM_SGP, 0, 1},
    {SGP_ALGORITHM_SGP, 0, 3},
    {SGP_ALGORITHM_DPSGD, 0, 2},
    {SGP_ALGORITHM_DPSGD, 0, 1},
    {SGP_ALGORITHM_SGP, 1, 1},
    {SGP_ALGORITHM_SGP, 2, 1},
    {SGP_ALGORITHM_OSGP, SGP_OVERLAP_ASYNC, 1},
};

enum { WAYS = sizeof ways / sizeof *ways };

/* Nobody waits longer than until the faulty are silent. */
static void check_time(const trial_t *trial) {
    for (int r = 0; r < trial->size; r++) {
        uint64_t rounds = trial->options.rounds > 1 ? (uint64_t)trial->options.rounds : 1;
        uint64_t most = STEPS * (COMPUTE_NS + (1 + rounds) * DELAY_NS);
        for (int f = 0; f < trial->fault_count; f++) {
            const sgp_loopback_fault_t *fault = &trial->faults[f];
            most += 700 * SGP_MILLISECOND;
            if (fault->kind == SGP_FAULT_STALL && fault->seat == r) most += fault->length_ns;
        }
        if (!dies(trial, r) && trial->options.passes_over && trial->time[r] > most)
            fail_msg("node %d of %d takes %.3f s, at most %.3f", r, trial->size,
                     (double)trial->time[r] / 1e9, (double)most / 1e9);
    }
}

/* A node stands still for 5 to 50 steps: the others lose the time after which it is silent, no more, and it goes on from
 * their step. */
static void test_stall(void **state) {
    (void)state;
    sgp_mixer_statistics_t sum = {0};
    for (int s = 0; s < 2 * WAYS; s++) {
        trial_t *trial = trial_of(2 + s % 8 % 7, ways[s % WAYS].algorithm, ways[s % WAYS].overlap,
                                  1 + (uint64_t)s);
        trial->options.rounds = ways[s % WAYS].rounds;
        uint64_t length = (5 + 9 * (uint64_t)(s % 6)) * COMPUTE_NS;
        trial->faults[0] = (sgp_loopback_fault_t){.kind = SGP_FAULT_STALL,
                                                  .seat = s % trial->size,
                                                  .from_ns = 1050 * SGP_MILLISECOND +
                                                             (uint64_t)s * 7 * SGP_MILLISECOND,
                                                  .length_ns = length};
        trial->fault_count = 1;
        run(trial);
        check(trial);
        check_time(trial);
        for (int r = 0; r < trial->size; r++) {
            sum.silences += trial->statistics[r].silences;
            sum.holes += trial->statistics[r].holes;
            sum.waits_asked += trial->statistics[r].waits_asked;
            sum.passed_over += trial->statistics[r].passed_over;
        }
        free(trial);
    }
    assert_true(sum.silences >= 20 &&
                sum.holes >= 30); /* of ten stalls, most of them long enough */
    assert_true(sum.waits_asked > 0 && sum.passed_over >= 60);
}

/* The mean of the start, of which no mass was lost or made. */
static void check_mean(const trial_t *trial) {
    for (size_t i = 0; i < LENGTH; i++) {
        double mean = 0;
        for (int r = 0; r < trial->size; r++) mean += initial_value(r, i) / (double)trial->size;
        if (fabs(trial->mean[0][i] - mean) > 2e-6)
            fail_msg("element %d: the mean moves from %g to %g", (int)i, mean,
                     (double)trial->mean[0][i]);
    }
}

/* In steps of several rounds a node stands still in the middle of its messages: nobody waits for the rest, and all of its
 * mass arrives. */
static void test_interrupted_rounds(void **state) {
    (void)state;
    uint64_t interrupted = 0;
    for (int s = 0; s < 12; s++) {
        trial_t *trial = trial_of(3 + s % 2, SGP_ALGORITHM_SGP, 0, 1 + (uint64_t)s);
        trial->options.rounds = 3;
        trial->options.graph.kind = s % 3 ? SGP_GRAPH_EXPONENTIAL : SGP_GRAPH_COMPLETE;
        trial->options.passes_over = s % 2;
        trial->faults[0] =
            (sgp_loopback_fault_t){.kind = SGP_FAULT_STALL,
                                   .seat = s % 3,
                                   .from_ns = (102 + 5 * (uint64_t)s) * SGP_MILLISECOND,
                                   .length_ns = 20 * COMPUTE_NS};
        trial->fault_count = 1;
        run(trial);
        check(trial);
        check_time(trial);
        check_mean(trial);
        for (int r = 0; r < trial->size; r++) interrupted += trial->interrupted[r];
        free(trial);
    }
    assert_true(interrupted >= 5);
}

static sgp_loopback_fault_t draw_fault(sgp_random_t *random, int size, bool kills) {
    int seat = (int)(sgp_random_double(random) * size);
    int other = (seat + 1 + (int)(sgp_random_double(random) * (size - 1))) % size;
    double kind = sgp_random_double(random);
    sgp_loopback_fault_t fault = {
        .kind = kind < 0.4 ? SGP_FAULT_STALL : (kind < 0.7 ? SGP_FAULT_CUT : SGP_FAULT_CUT_BOTH),
        .seat = seat,
        .other = other,
        .from_ns = (uint64_t)(sgp_random_double(random) * 5e9),
        .length_ns = (uint64_t)((5 + sgp_random_double(random) * 45) * (double)COMPUTE_NS)};
    if (kills && sgp_random_double(random) < 0.3) fault.kind = SGP_FAULT_KILL;
    return fault;
}

/* Any faults at any moments, on any number of nodes, with any graph, encoding and room. */
static trial_t *draw(uint64_t seed) {
    static const sgp_graph_kind_t graphs[] = {SGP_GRAPH_EXPONENTIAL, SGP_GRAPH_COMPLETE,
                                              SGP_GRAPH_STATIC_EXPONENTIAL, SGP_GRAPH_RANDOM,
                                              SGP_GRAPH_BASE};
    sgp_random_t random;
    sgp_random_init(&random, 7, seed);
    int size = 2 + (int)(sgp_random_double(&random) * 7);
    int w = (int)(sgp_random_double(&random) * WAYS);
    trial_t *trial = trial_of(size, ways[w].algorithm, ways[w].overlap, seed);
    trial->options.rounds = ways[w].rounds;
    if (ways[w].algorithm != SGP_ALGORITHM_DPSGD)
        trial->options.graph.kind = graphs[(int)(sgp_random_double(&random) * 5)];
    if (sgp_random_double(&random) < 0.3) trial->options.encoding = SGP_ENCODING_BFLOAT16;
    if (sgp_random_double(&random) < 0.3) trial->options.local_steps = 2;
    if (sgp_random_double(&random) < 0.3) trial->options.passes_over = 0;
    if (sgp_random_double(&random) < 0.5)
        trial->capacity =
            (size_t)(CHUNKS * (4 + ways[w].overlap + (int)(sgp_random_double(&random) * 3)));
    trial->fault_count = 1 + (int)(sgp_random_double(&random) * MOST_FAULTS);
    for (int f = 0; f < trial->fault_count; f++)
        trial->faults[f] = draw_fault(&random, size, f == 1 && size > 2 && ways[w].overlap >= 0);
    for (int r = 0; r < size; r++)
        trial->compute[r] = (uint64_t)((0.2 + 0.8 * sgp_random_double(&random)) * COMPUTE_NS);
    return trial;
}

static void test_random(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        trial_t *trial = draw(seed);
        run(trial);
        check(trial);
        check_time(trial);
        free(trial);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_interrupted_rounds),
        cmocka_unit_test(test_random),
    };
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
