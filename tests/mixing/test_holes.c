/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes die at any moment of a step, and the others mix on: nobody waits for ever, no coordinate leaves the range of the
 * start, the weights add up after the next average, and from then on the survivors come together. */
#include "mixing/small_mixers.h"

#include "group/agree_call.h"
#include "mixing/mixer_internal.h"
#include "mixing/push.h"

#include <math.h>
#include <string.h>

enum { STEPS = 24, MOST_NODES = 8, NEVER = -1 };

typedef struct trial {
    sgp_mixer_options_t options;
    int size;
    uint64_t seed;
    int dies[MOST_NODES];   /* before which step; NEVER */
    int chunks[MOST_NODES]; /* of its message of that step that still leave */
    bool tcp, shm, at_once; /* at_once: messages take no time */
    bool parts;             /* the others step in parts */
    bool leaves; /* nodes do not die before that step, they leave, with all messages whole */
    /* Results. */
    float z[MOST_NODES][LENGTH];     /* after the average */
    float after[MOST_NODES][LENGTH]; /* STEPS further */
    float mean[MOST_NODES][LENGTH];
    double w[MOST_NODES], least[MOST_NODES],
        weights[MOST_NODES][2 * STEPS]; /* weights: after each step */
    sgp_mixer_statistics_t statistics[MOST_NODES];
    bool ended[MOST_NODES];
} trial_t;

static bool dies(const trial_t *trial, int rank) {
    return trial->dies[rank] != NEVER;
}

/* Nodes that make so many steps. */
static int survivors_of(const trial_t *trial, int count) {
    int survivors = 0;
    for (int r = 0; r < trial->size; r++) survivors += !dies(trial, r) || trial->dies[r] >= count;
    return survivors;
}

/* In virtual time, so that chunks arrive before the loss is known. */
static void sleep_for(sgp_mixer_t *mixer, uint64_t nanoseconds) {
    uint64_t end = sgp_transport_now(mixer->transport) + nanoseconds;
    for (int i = 0; i < 1000 && sgp_transport_now(mixer->transport) < end; i++) {
        sgp_inbox_collect(mixer->inbox);
        sgp_transport_wait(mixer->transport, end);
    }
}

/* A node that ends in the middle of its push: as many chunks leave as the trial says. */
static void push_some(sgp_mixer_t *mixer, int chunks, bool sleeps) {
    double kept;
    int count = sgp_push_shares(mixer, mixer->round, mixer->w, &kept);
    sgp_header_t header = sgp_push_header(mixer, mixer->round);
    sgp_send_t send;
    if (count == 0 || chunks == 0) return;
    uint64_t deadline = sgp_transport_now(mixer->transport) + 60000000000u;
    if (sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, count, deadline, &send)) return;
    for (int i = 0; i < chunks; i++) {
        void *place = sgp_inbox_send_next(mixer->inbox, &send);
        if (!place) return;
        CHECK(sgp_push_copy(mixer, &send, mixer->z + mixer->count, place));
        sgp_inbox_send_commit(mixer->inbox, &send);
    }
    if (sleeps) sleep_for(mixer, 5000000);
    sgp_inbox_send_abandon(mixer->inbox, &send);
}

static void check_hull(const trial_t *trial, const float *z) {
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

/* From the end to the beginning. */
static sgp_status_t one_step(const trial_t *trial, sgp_mixer_t *mixer) {
    if (!trial->parts) return sgp_mixer_step(mixer, NULL, NULL, 0);
    sgp_status_t status = sgp_mixer_begin(mixer, NULL, NULL, 0);
    for (size_t end = LENGTH, count = 37; end > 0 && status == SGP_OK; end -= count) {
        if (count > end) count = end;
        status = sgp_mixer_part(mixer, end - count, count);
    }
    if (status == SGP_OK) status = sgp_mixer_end(mixer);
    return status == SGP_OK ? sgp_mixer_wait(mixer, 0, LENGTH) : status;
}

/* false: it died. */
static bool steps(trial_t *trial, sgp_mixer_t *mixer, int rank, int first) {
    for (int k = first; k < first + STEPS; k++) {
        if (trial->dies[rank] == k && trial->leaves) return false;
        if (trial->dies[rank] == k) {
            push_some(mixer, trial->chunks[rank], !trial->shm && !trial->tcp && !trial->at_once);
            return false;
        }
        sgp_status_t status = one_step(trial, mixer);
        CHECK(status == SGP_OK);
        if (status != SGP_OK) return false;
        check_hull(trial, sgp_mixer_parameters(mixer));
        sgp_mixer_statistics(mixer, &trial->statistics[rank]);
        trial->weights[rank][k] = trial->statistics[rank].weight;
        trial->least[rank] = fmin(trial->least[rank], trial->statistics[rank].weight);
    }
    return true;
}

/* They add up to the number of nodes that took part: those that live to the end, and perhaps some that died soon after. */
static void check_weights(const trial_t *trial, const sgp_mixer_consensus_t *consensus, int count) {
    CHECK(fabs(consensus->w_total - round(consensus->w_total)) < 1e-9);
    CHECK(round(consensus->w_total) <= survivors_of(trial, count));
    CHECK(round(consensus->w_total) >= survivors_of(trial, 2 * STEPS));
}

static bool live(trial_t *trial, sgp_mixer_t *mixer, int rank) {
    sgp_mixer_consensus_t consensus;
    if (!steps(trial, mixer, rank, 0)) return false;
    CHECK(sgp_mixer_average(mixer, trial->mean[rank], &consensus) == SGP_OK);
    check_weights(trial, &consensus, STEPS);
    CHECK(consensus.drift < 1e-5);
    memcpy(trial->z[rank], sgp_mixer_parameters(mixer), sizeof trial->z[rank]);
    sgp_mixer_statistics(mixer, &trial->statistics[rank]);
    trial->w[rank] = trial->statistics[rank].weight;
    if (!steps(trial, mixer, rank, STEPS)) return false;
    CHECK(sgp_mixer_average(mixer, NULL, &consensus) == SGP_OK);
    check_weights(trial, &consensus, 2 * STEPS);
    CHECK(consensus.drift < 1e-4);
    memcpy(trial->after[rank], sgp_mixer_parameters(mixer), sizeof trial->after[rank]);
    trial->ended[rank] = true;
    return true;
}

static void body(sgp_transport_t *transport, void *context) {
    trial_t *trial = context;
    sgp_group_t *group = NULL;
    int rank = transport->rank;
    transport->elastic = true;
    CHECK(sgp_group_found(transport, 60000, &group) == SGP_OK);
    sgp_mixer_t *mixer = make_mixer(group, &trial->options);
    trial->least[rank] = INFINITY;
    bool lives = mixer && live(trial, mixer, rank);
    sgp_mixer_destroy(mixer);
    if (lives || trial->leaves) sgp_group_leave(group);
    else sgp_group_abort(group);
}

static double spread(const trial_t *trial, const float z[MOST_NODES][LENGTH]) {
    double most = 0;
    for (int a = 0; a < trial->size; a++)
        for (int b = 0; b < a; b++)
            for (size_t i = 0; i < LENGTH && !dies(trial, a) && !dies(trial, b); i++)
                most = fmax(most, fabs((double)z[a][i] - (double)z[b][i]));
    return most;
}

/* The survivors have the same mean, and come together once the graph is theirs. */
static void check(const trial_t *trial) {
    double w = 0;
    int first = -1;
    bool one_peer = sgp_graph_max_degree(&trial->options.graph) < 2;
    for (int r = 0; r < trial->size; r++) {
        w += trial->w[r]; /* 0: it had died by then */
        if (dies(trial, r)) continue;
        if (first < 0) first = r;
        assert_memory_equal(trial->mean[r], trial->mean[first], sizeof trial->mean[r]);
        if (one_peer) assert_true(trial->least[r] > 0.24 / (1 + (double)trial->options.overlap));
    }
    assert_true(w <= survivors_of(trial, STEPS) + 1e-9);
    double bound = sgp_encoding_is_lossy(trial->options.encoding) ? 0.05 : 1e-3;
    assert_true(spread(trial, trial->after) < bound);
}

static void run(trial_t *trial) {
    ranks_setup_t setup = reordering(trial->size, trial->seed);
    setup.loopback.delay_max_ns = 3000000;
    if (trial->at_once) setup.loopback.delay_min_ns = setup.loopback.delay_max_ns = 0;
    setup.shm = trial->shm;
    setup.tcp = trial->tcp;
    trial->options.count = LENGTH;
    run_transports(&setup, body, trial);
}

static trial_t *trial_of(int size, sgp_algorithm_t algorithm, int overlap, uint64_t seed) {
    trial_t *trial = calloc(1, sizeof *trial);
    assert_non_null(trial);
    trial->size = size;
    trial->seed = seed;
    trial->options.algorithm = algorithm;
    trial->options.overlap = overlap;
    trial->options.graph.size = size;
    if (algorithm == SGP_ALGORITHM_DPSGD)
        trial->options.graph.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL;
    for (int r = 0; r < MOST_NODES; r++) trial->dies[r] = NEVER;
    return trial;
}

static const struct {
    sgp_algorithm_t algorithm;
    int overlap;
} ways[] = {
    {SGP_ALGORITHM_SGP, 0},
    {SGP_ALGORITHM_DPSGD, 0},
    {SGP_ALGORITHM_SGP, 1},
    {SGP_ALGORITHM_SGP, 2},
};

/* One death, at any chunk of a message. */
static void test_torn(void **state) {
    (void)state;
    uint64_t torn = 0;
    double returned = 0;
    for (int chunks = 0; chunks <= 21; chunks += 3)
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            trial_t *trial = trial_of(4, ways[w].algorithm, ways[w].overlap, 1 + (uint64_t)chunks);
            trial->dies[3] = 5;
            trial->chunks[3] = chunks;
            trial->parts = chunks % 2;
            if (chunks % 4 == 3) trial->options.encoding = SGP_ENCODING_INT8;
            run(trial);
            check(trial);
            for (int r = 0; r < 3; r++) {
                torn += trial->statistics[r].torn;
                returned += trial->statistics[r].weight_returned;
            }
            free(trial);
        }
    assert_true(returned > 0);
    assert_true(torn >= 6 * sizeof ways / sizeof *ways); /* neither none nor all of the chunks */
}

/* Any number of deaths at random moments, on any number of nodes, with any graph and encoding. */
static void test_random(void **state) {
    (void)state;
    static const sgp_graph_kind_t graphs[] = {SGP_GRAPH_EXPONENTIAL, SGP_GRAPH_COMPLETE,
                                              SGP_GRAPH_STATIC_EXPONENTIAL, SGP_GRAPH_RANDOM,
                                              SGP_GRAPH_BASE};
    sgp_random_t random;
    sgp_random_init(&random, 5, 0);
    for (uint64_t seed = 0; seed < 60; seed++) {
        int size = 2 + (int)(sgp_random_double(&random) * 7);
        size_t w = (size_t)(sgp_random_double(&random) * 4);
        trial_t *trial = trial_of(size, ways[w].algorithm, ways[w].overlap, seed);
        if (ways[w].algorithm != SGP_ALGORITHM_DPSGD)
            trial->options.graph.kind = graphs[(int)(sgp_random_double(&random) * 5)];
        double encoding = sgp_random_double(&random);
        if (encoding < 0.3) trial->options.encoding = SGP_ENCODING_BFLOAT16;
        else if (encoding < 0.6) trial->options.encoding = SGP_ENCODING_INT8;
        int deaths = 1 + (int)(sgp_random_double(&random) * (size - 1));
        for (int r = size - 1; r >= size - deaths; r--) {
            int rank = seed % 2 ? r : size - 1 - r; /* node 0 as well */
            trial->dies[rank] = (int)(sgp_random_double(&random) * 1.8 * STEPS);
            trial->chunks[rank] = (int)(sgp_random_double(&random) * 22);
        }
        for (int r = 0; r < size; r++) /* one lives */
            if (deaths == size && r == (int)(seed % (uint64_t)size)) trial->dies[r] = NEVER;
        run(trial);
        check(trial);
        free(trial);
    }
}

/* The example of docs/membership.md: node 3 dies in step 17, in the middle of its push to node 1, and has not absorbed the
 * half that node 1 sends to it. */
static void test_weights_come_back(void **state) {
    (void)state;
    static const double expected[2][3] = {{0.5, 1, 1.5}, {1, 1, 1}};
    for (int i = 0; i < 10; i++) {
        trial_t *trial = trial_of(4, SGP_ALGORITHM_SGP, 0, 3);
        trial->at_once = true;
        trial->dies[3] = 17;
        trial->chunks[3] = 5 * (i / 2);
        trial->parts = i % 2;
        run(trial);
        for (int k = 0; k < 2; k++)
            for (int r = 0; r < 3; r++) {
                double w = trial->weights[r][18 + k];
                assert_true(fabs(w - expected[k][r]) < 1e-12);
            }
        free(trial);
    }
}

/* Nobody waits for anybody: after any deaths all others come to the end, and their weights add up. */
static void test_async(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        trial_t *trial = trial_of(5, SGP_ALGORITHM_OSGP, SGP_OVERLAP_ASYNC, seed);
        for (int r = 0; r < 1 + (int)(seed % 3); r++) {
            trial->dies[r] = (int)(seed * 7 + (uint64_t)r * 5) % (2 * STEPS);
            trial->chunks[r] = 0;
        }
        run(trial);
        for (int r = 3; r < 5; r++) assert_true(trial->ended[r]);
        free(trial);
    }
}

/* Nodes leave in the middle, one or several, and the others go on. All that they have sent arrives: nothing is torn, and what
 * stays on the way to them comes back. */
static void test_leaving(void **state) {
    (void)state;
    double returned = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        int size = 3 + (int)(seed % 4);
        bool async = seed % 5 == 4;
        size_t w = seed % 5 % 4;
        trial_t *trial = trial_of(size, async ? SGP_ALGORITHM_OSGP : ways[w].algorithm,
                                  async ? SGP_OVERLAP_ASYNC : ways[w].overlap, seed);
        trial->leaves = true;
        trial->shm = seed % 12 == 5;
        trial->tcp = seed % 12 == 11;
        for (int i = 0; i <= (int)(seed % 2); i++)
            trial->dies[(seed + (uint64_t)i) % (uint64_t)size] = (int)(1 + seed * 5 % (STEPS - 1));
        run(trial);
        if (!async) check(trial);
        for (int r = 0; r < size; r++) {
            assert_true(trial->ended[r] || dies(trial, r));
            assert_int_equal(trial->statistics[r].torn, 0);
            returned += trial->statistics[r].weight_returned;
        }
        free(trial);
    }
    assert_true(returned > 0);
}

/* Over real transports, where time is real. */
static void test_transports(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++) {
        trial_t *trial = trial_of(4, ways[i % 3].algorithm, ways[i % 3].overlap, 1);
        trial->shm = i < 3;
        trial->tcp = i >= 3;
        trial->dies[i % 4] = 3 + i;
        trial->chunks[i % 4] = 4 * i;
        trial->dies[(i + 1) % 4] = 9;
        run(trial);
        check(trial);
        free(trial);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torn),    cmocka_unit_test(test_weights_come_back),
        cmocka_unit_test(test_random),  cmocka_unit_test(test_async),
        cmocka_unit_test(test_leaving), cmocka_unit_test(test_transports),
    };
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
