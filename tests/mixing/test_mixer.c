/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of every algorithm, over threads with delay and reordering and over shared memory:
 * mass, the exact mean, the local step at full strength, the same bits on every transport. */
#include "small_mixers.h"

#include <math.h>
#include <string.h>

#define MOST 16

/* One run of some steps by all nodes, and its results. */
typedef struct run {
    sgp_mixer_options_t options;
    int steps;
    bool trains; /* with a gradient and an optimizer */
    /* Results. */
    float z[MOST][LENGTH];
    float average[MOST][LENGTH];
    double w[MOST];
    sgp_mixer_consensus_t consensus[MOST];
    sgp_mixer_statistics_t statistics[MOST];
} run_t;

static float gradient_value(int rank, int step, size_t i) {
    sgp_random_t random;
    sgp_random_init(&random, 12 + (uint64_t)step, (uint64_t)rank * 100000 + i);
    return (float)sgp_random_normal(&random);
}

static void body(sgp_group_t *group, void *context) {
    run_t *run = context;
    int rank = sgp_group_rank(group);
    sgp_mixer_t *mixer = make_mixer(group, &run->options);
    sgp_optimizer_t *optimizer = run->trains ? make_optimizer(run->options.count, 0.9f) : NULL;
    float gradient[LENGTH];
    for (int step = 0; step < run->steps; step++) {
        for (size_t i = 0; i < LENGTH; i++) gradient[i] = gradient_value(rank, step, i);
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, 0.1f) == SGP_OK);
    }
    memcpy(run->z[rank], sgp_mixer_parameters(mixer), sizeof run->z[rank]);
    sgp_mixer_statistics(mixer, &run->statistics[rank]);
    run->w[rank] = run->statistics[rank].weight;
    CHECK(sgp_mixer_average(mixer, run->average[rank], &run->consensus[rank]) == SGP_OK);
    CHECK(!memcmp(run->z[rank], sgp_mixer_parameters(mixer), sizeof run->z[rank]));
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static run_t *run_mixers(const ranks_setup_t *setup, sgp_mixer_options_t options, int steps,
                         bool trains) {
    static run_t run;
    memset(&run, 0, sizeof run);
    options.count = options.count ? options.count : LENGTH;
    run.options = options;
    run.steps = steps;
    run.trains = trains;
    run_groups(setup, body, &run);
    return &run;
}

static double initial_mean(int size, size_t i) {
    double sum = 0;
    for (int r = 0; r < size; r++) sum += initial_value(r, i);
    return sum / size;
}

/* The sum of x = w z over the nodes, coordinate i. */
static double sum_of_x(const run_t *run, int size, size_t i) {
    double sum = 0;
    for (int r = 0; r < size; r++) sum += run->w[r] * run->z[r][i];
    return sum;
}

typedef void (*case_fn)(int size, sgp_mixer_options_t options);

static void for_graphs(int most, case_fn body_of_case) {
    for (int size = 1; size <= most; size++)
        for (int kind = SGP_GRAPH_EXPONENTIAL; kind <= SGP_GRAPH_COMPLETE; kind++)
            for (int peers = 1; peers <= 3; peers++) {
                sgp_graph_t graph = {.kind = (sgp_graph_kind_t)kind, .size = size, .peers = peers};
                if (sgp_graph_check(&graph) == SGP_OK)
                    body_of_case(size, (sgp_mixer_options_t){.graph = graph});
            }
}

/* ---- mass ---- */

/* After any number of steps the sum of w is n, and the sum of x what it was, to the rounding of one
 * float per step. */
static void mass_after_each_step(int size, sgp_mixer_options_t options) {
    ranks_setup_t setup = reordering(size, 5);
    for (int steps = 1; steps <= 4; steps++) {
        const run_t *run = run_mixers(&setup, options, steps, false);
        double weights = 0;
        for (int r = 0; r < size; r++) weights += run->w[r];
        assert_true(fabs(weights - size) < 1e-12);
        for (size_t i = 0; i < LENGTH; i++) {
            double expected = size * initial_mean(size, i);
            assert_true(fabs(sum_of_x(run, size, i) - expected) < size * steps * 4e-7);
        }
        for (int r = 0; r < size; r++) {
            assert_true(fabs(run->consensus[r].w_total - size) < 1e-12);
            assert_true(run->consensus[r].drift < steps * 3e-7);
        }
    }
}

static void test_mass(void **state) {
    (void)state;
    for_graphs(6, mass_after_each_step);
}

/* One-peer exponential on 2^p nodes: the exact mean after p steps (to rounding), and not before. */
static void test_exact_mean(void **state) {
    (void)state;
    for (int levels = 1; levels <= 4; levels++) {
        int size = 1 << levels;
        ranks_setup_t setup = reordering(size, 6);
        double largest[2] = {0, 0};
        for (int less = 0; less < 2; less++) {
            const run_t *run = run_mixers(&setup, (sgp_mixer_options_t){0}, levels - less, false);
            for (int r = 0; r < size; r++)
                for (size_t i = 0; i < LENGTH; i++)
                    largest[less] = fmax(largest[less], fabs(run->z[r][i] - initial_mean(size, i)));
        }
        assert_true(largest[0] < 1e-6);
        assert_true(largest[1] > 1e-2);
    }
}

/* The mean over the nodes of x moves by lr times the mean of the local steps d, no more and no
 * less. */
static void full_strength(int size, sgp_mixer_options_t options) {
    ranks_setup_t setup = reordering(size, 7);
    enum { STEPS = 5 };
    const run_t *run = run_mixers(&setup, options, STEPS, true);
    for (size_t i = 0; i < LENGTH; i++) {
        double expected = size * initial_mean(size, i);
        for (int r = 0; r < size; r++) {
            double momentum = 0;
            for (int step = 0; step < STEPS; step++) {
                double gradient = gradient_value(r, step, i);
                momentum = 0.9 * momentum + gradient;
                expected -= 0.1 * (gradient + 0.9 * momentum);
            }
        }
        assert_true(fabs(sum_of_x(run, size, i) - expected) < size * STEPS * 1e-6);
    }
    assert_true(run->consensus[0].drift < STEPS * 3e-7);
}

static void test_local_step_at_full_strength(void **state) {
    (void)state;
    for_graphs(5, full_strength);
}

/* ---- the same bits ---- */

static void same_bits(sgp_mixer_options_t options, int size) {
    static run_t first;
    ranks_setup_t setups[] = {reordering(size, 1),
                              reordering(size, 2),
                              {.loopback = {.size = size}},
                              {.shm = true, .loopback = {.size = size, .chunk_bytes = 128}},
                              {.shm = true, .loopback = {.size = size}}};
    for (size_t s = 0; s < sizeof setups / sizeof *setups; s++) {
        const run_t *run = run_mixers(&setups[s], options, 6, true);
        if (s == 0) first = *run;
        assert_memory_equal(run->z, first.z, sizeof first.z);
        assert_memory_equal(run->average, first.average, sizeof first.average);
        assert_memory_equal(run->w, first.w, sizeof first.w);
    }
}

static void test_same_bits_on_every_transport(void **state) {
    (void)state;
    same_bits((sgp_mixer_options_t){.graph = {.peers = 1}}, 4);
    same_bits((sgp_mixer_options_t){.graph = {.peers = 2}}, 5);
    same_bits((sgp_mixer_options_t){.graph = {.kind = SGP_GRAPH_RING, .peers = 2}}, 3);
    same_bits((sgp_mixer_options_t){.graph = {.kind = SGP_GRAPH_COMPLETE}}, 4);
    same_bits((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_ALLREDUCE}, 4);
    same_bits((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_ALLREDUCE}, 5);
}

/* ---- all-reduce ---- */

static void test_allreduce_is_the_mean(void **state) {
    (void)state;
    for (int size = 1; size <= 6; size++) {
        ranks_setup_t setup = reordering(size, 8);
        sgp_mixer_options_t options = {.algorithm = SGP_ALGORITHM_ALLREDUCE};
        const run_t *run = run_mixers(&setup, options, 1, false);
        for (int r = 0; r < size; r++) {
            assert_memory_equal(run->z[r], run->z[0], sizeof run->z[0]);
            for (size_t i = 0; i < LENGTH; i++)
                assert_true(fabs(run->z[r][i] - initial_mean(size, i)) < 1e-6);
        }
        assert_true(run->consensus[0].distance == 0);
        assert_true(run->consensus[0].w_total == size);
    }
}

/* With all-reduce, momentum on the mean gradient: every node makes the same step. */
static void test_allreduce_trains(void **state) {
    (void)state;
    enum { SIZE = 3, STEPS = 4 };
    ranks_setup_t setup = reordering(SIZE, 9);
    sgp_mixer_options_t options = {.algorithm = SGP_ALGORITHM_ALLREDUCE};
    const run_t *run = run_mixers(&setup, options, STEPS, true);
    for (size_t i = 0; i < LENGTH; i++) {
        double moved = 0, momentum = 0;
        for (int step = 0; step < STEPS; step++) {
            double gradient = 0;
            for (int r = 0; r < SIZE; r++) gradient += gradient_value(r, step, i) / SIZE;
            momentum = 0.9 * momentum + gradient;
            moved -= 0.1 * (gradient + 0.9 * momentum);
        }
        for (int r = 0; r < SIZE; r++)
            assert_true(fabs(run->z[r][i] - initial_value(r, i) - moved) < 1e-5);
    }
}

/* Lengths around the sizes of cache lines, segments and chunks. */
typedef struct lengths {
    size_t count;
    sgp_algorithm_t algorithm;
} lengths_t;

static void one_length(sgp_group_t *group, void *context) {
    const lengths_t *lengths = context;
    sgp_mixer_options_t options = {.count = lengths->count, .algorithm = lengths->algorithm};
    sgp_mixer_t *mixer = NULL;
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    float *z = sgp_mixer_parameters(mixer);
    for (size_t i = 0; i < lengths->count; i++) z[i] = (float)sgp_group_rank(group);
    for (int step = 0; step < 2; step++) CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    for (size_t i = 0; i < lengths->count; i++) CHECK(z[i] == 1.5f);
    sgp_mixer_destroy(mixer);
}

static void test_lengths(void **state) {
    (void)state;
    const size_t counts[] = {1, 2, 15, 16, 17, 31, 64, 65, 1000};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int a = 0; a < 2; a++) {
            lengths_t lengths = {counts[c], a ? SGP_ALGORITHM_ALLREDUCE : SGP_ALGORITHM_SGP};
            ranks_setup_t setup = reordering(4, c);
            run_groups(&setup, one_length, &lengths);
            ranks_setup_t shm = {.shm = true, .loopback = {.size = 4, .chunk_bytes = 64}};
            run_groups(&shm, one_length, &lengths);
        }
}

/* ---- the average and its measures ---- */

static void test_average_is_exact(void **state) {
    (void)state;
    enum { SIZE = 5 };
    ranks_setup_t setup = reordering(SIZE, 10);
    const run_t *run = run_mixers(&setup, (sgp_mixer_options_t){.graph = {.peers = 2}}, 3, true);
    double squares = 0, norm = 0;
    for (size_t i = 0; i < LENGTH; i++) {
        double mean = sum_of_x(run, SIZE, i) / SIZE;
        assert_true(fabs(run->average[0][i] - mean) <= 1e-7 * (1 + fabs(mean)));
        norm += mean * mean;
        for (int r = 0; r < SIZE; r++)
            squares += (run->z[r][i] - mean) * (run->z[r][i] - mean) / SIZE;
    }
    for (int r = 0; r < SIZE; r++) {
        assert_memory_equal(run->average[r], run->average[0], sizeof run->average[0]);
        assert_true(fabs(run->consensus[r].distance / sqrt(squares / norm) - 1) < 1e-5);
        assert_true(run->consensus[r].distance == run->consensus[0].distance);
    }
}

/* ---- buffers, changes by the caller, statistics ---- */

static void with_buffers(sgp_group_t *group, void *context) {
    sgp_algorithm_t algorithm = *(sgp_algorithm_t *)context;
    enum { P = 100, S = 30 };
    sgp_mixer_options_t options = {.count = P, .buffers = S, .algorithm = algorithm};
    sgp_mixer_t *mixer = NULL;
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    sgp_optimizer_t *optimizer = make_optimizer(P, 0);
    float gradient[P], *z = sgp_mixer_parameters(mixer), *buffers = sgp_mixer_buffers(mixer);
    CHECK(buffers == z + P);
    for (size_t i = 0; i < P; i++) gradient[i] = 1;
    for (int step = 0; step < 2; step++) {
        for (size_t i = 0; i < S; i++) buffers[i] += (float)(4 * sgp_group_rank(group));
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, 0.5f) == SGP_OK);
    }
    sgp_mixer_consensus_t consensus;
    float average[P + S];
    CHECK(sgp_mixer_average(mixer, average, &consensus) == SGP_OK);
    for (size_t i = 0; i < P; i++) CHECK(z[i] == -1 && average[i] == -1);
    for (size_t i = 0; i < S; i++) CHECK(average[P + i] == 12); /* 2 steps x mean of 0, 4, 8, 12 */
    CHECK(z == sgp_mixer_parameters(mixer));
    if (algorithm == SGP_ALGORITHM_SGP) CHECK(consensus.drift < 1e-6);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static void test_buffers_are_averaged_and_not_stepped(void **state) {
    (void)state;
    for (int a = 0; a < 2; a++) {
        sgp_algorithm_t algorithm = a ? SGP_ALGORITHM_ALLREDUCE : SGP_ALGORITHM_SGP;
        ranks_setup_t setup = reordering(4, 3);
        run_groups(&setup, with_buffers, &algorithm);
    }
}

static void test_statistics(void **state) {
    (void)state;
    ranks_setup_t setup = reordering(4, 4);
    const run_t *run = run_mixers(&setup, (sgp_mixer_options_t){.graph = {.peers = 2}}, 4, false);
    for (int r = 0; r < 4; r++) {
        const sgp_mixer_statistics_t *statistics = &run->statistics[r];
        assert_int_equal(statistics->steps, 4);
        /* Hops 1 and 2, then 3 and 6: the last is 2 mod 4, so there are two peers in every step. */
        assert_int_equal(statistics->sent, 8);
        assert_int_equal(statistics->received, 8);
        assert_int_equal(statistics->bytes_sent, 8 * LENGTH * sizeof(float));
        assert_int_equal(statistics->late + statistics->refused + statistics->resent, 0);
        /* In virtual time a step only waits. */
        assert_true(statistics->wait_ns == statistics->step_ns && statistics->wait_ns > 0);
    }
}

/* The transport's counters are in every mixer's statistics. */
static void count_chunks(sgp_group_t *group, void *context) {
    (void)context;
    sgp_mixer_t *mixer = NULL;
    sgp_mixer_statistics_t statistics;
    CHECK(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = 2}, NULL, &mixer) == SGP_OK);
    sgp_group_transport(group)->counters.resent = 3;
    sgp_group_transport(group)->counters.refused = 4;
    sgp_mixer_statistics(mixer, &statistics);
    CHECK(statistics.resent == 3 && statistics.refused == 4);
    sgp_mixer_destroy(mixer);
}

static void test_statistics_of_the_transport(void **state) {
    (void)state;
    ranks_setup_t setup = reordering(1, 1);
    run_groups(&setup, count_chunks, NULL);
}

/* ---- ahead ---- */

enum {
    AHEAD = 1 << 16
}; /* parameters: a message has more chunks than a node may have at one without a mixer */

/* Node 0 has created a mixer and sent all that it has room for, before node 1 creates its own. */
static void is_ahead(sgp_group_t *group, void *context) {
    pthread_barrier_t *sent = context;
    sgp_mixer_options_t options = {.count = AHEAD, .overlap = SGP_OVERLAP_ASYNC};
    float *initial = calloc(AHEAD, sizeof *initial);
    bool first = sgp_group_rank(group) == 0;
    for (size_t i = 0; i < AHEAD; i++) initial[i] = first ? 1 : 3;
    sgp_mixer_t *mixer = NULL;
    if (!first) pthread_barrier_wait(sent);
    sgp_inbox_collect(sgp_group_inbox(group));
    CHECK(sgp_mixer_create(group, &options, initial, &mixer) == SGP_OK);
    for (int step = 0; step < 10; step++) CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    if (first) pthread_barrier_wait(sent);
    sgp_mixer_consensus_t consensus;
    sgp_mixer_statistics_t statistics;
    CHECK(sgp_mixer_average(mixer, initial, &consensus) == SGP_OK);
    CHECK(fabs(consensus.w_total - 2) < 1e-9 && fabsf(initial[AHEAD - 1] - 2) < 1e-5f);
    sgp_mixer_statistics(mixer, &statistics);
    CHECK(statistics.refused == 0);
    sgp_mixer_destroy(mixer);
    free(initial);
}

static void test_one_that_is_ahead_is_not_refused(void **state) {
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        ranks_setup_t setup = {
            .shm = !tcp, .tcp = tcp, .loopback = {.size = 2, .chunk_bytes = 256}};
        pthread_barrier_t sent;
        pthread_barrier_init(&sent, NULL, 2);
        run_groups(&setup, is_ahead, &sent);
        pthread_barrier_destroy(&sent);
    }
}

/* Two mixers of one group do not take each other's messages. */
static void two_mixers(sgp_group_t *group, void *context) {
    (void)context;
    sgp_mixer_t *a = NULL, *b = NULL;
    float initial[2] = {(float)sgp_group_rank(group), 1};
    CHECK(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = 2}, initial, &a) == SGP_OK);
    CHECK(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = 1}, initial, &b) == SGP_OK);
    for (int step = 0; step < 2; step++) {
        CHECK(sgp_mixer_step(a, NULL, NULL, 0) == SGP_OK);
        CHECK(sgp_mixer_step(b, NULL, NULL, 0) == SGP_OK);
    }
    CHECK(sgp_mixer_parameters(a)[0] == 1.5f && sgp_mixer_parameters(a)[1] == 1);
    CHECK(sgp_mixer_parameters(b)[0] == 1.5f);
    sgp_mixer_destroy(a);
    sgp_mixer_destroy(b);
}

static void test_two_mixers(void **state) {
    (void)state;
    ranks_setup_t setup = reordering(4, 4);
    run_groups(&setup, two_mixers, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mass),
        cmocka_unit_test(test_exact_mean),
        cmocka_unit_test(test_local_step_at_full_strength),
        cmocka_unit_test(test_same_bits_on_every_transport),
        cmocka_unit_test(test_allreduce_is_the_mean),
        cmocka_unit_test(test_allreduce_trains),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_average_is_exact),
        cmocka_unit_test(test_buffers_are_averaged_and_not_stepped),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_statistics_of_the_transport),
        cmocka_unit_test(test_one_that_is_ahead_is_not_refused),
        cmocka_unit_test(test_two_mixers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
