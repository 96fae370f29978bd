/* SPDX-License-Identifier: Apache-2.0 */
/* int8 and int4 in the mixing: over many steps no mass is lost in any algorithm, the bytes are as few as documented, and what
 * they cannot do is refused. Every coordinate differs, so that the codes of a block do. */
#include "ranks.h"

#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"

#include <math.h>
#include <string.h>

enum { NODES = 5, COUNT = 600, BUFFERS = 37, LENGTH = COUNT + BUFFERS, STEPS = 300 };

#define RATE 0.05f

typedef struct run {
    sgp_mixer_options_t options;
    int size, steps;
    bool still; /* no gradients */
    /* Results. */
    float z[NODES][LENGTH], mean[NODES][LENGTH];
    double moved[NODES][COUNT]; /* rate times the sum of the gradients */
    sgp_mixer_consensus_t consensus[NODES];
    sgp_mixer_statistics_t statistics[NODES];
} run_t;

/* From -3 to 3, of another size in each block. */
static float number(int rank, int i) {
    int mixed = (rank * 7919 + i * 104729) % 1009;
    return ((float)mixed / 168.0f - 3) * (float)(1 + i / 100);
}

static void body(sgp_group_t *group, void *context) {
    run_t *run = context;
    int rank = sgp_group_rank(group);
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    float initial[LENGTH], gradient[COUNT];
    for (int i = 0; i < LENGTH; i++) initial[i] = number(rank, i);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &run->options, initial, &mixer) == SGP_OK);
    const float *z = sgp_mixer_parameters(mixer);
    for (int step = 0; step < run->steps; step++) {
        for (int i = 0; i < COUNT; i++) {
            gradient[i] = run->still ? 0 : z[i] - number(rank + 1, i + step % 3);
            run->moved[rank][i] += (double)RATE * (double)gradient[i];
        }
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, RATE) == SGP_OK);
    }
    memcpy(run->z[rank], z, sizeof run->z[rank]);
    sgp_mixer_statistics(mixer, &run->statistics[rank]);
    CHECK(sgp_mixer_average(mixer, run->mean[rank], &run->consensus[rank]) == SGP_OK);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static run_t *run_of(sgp_mixer_options_t options, int size, int steps) {
    static run_t run;
    run = (run_t){.options = options, .size = size, .steps = steps};
    run.options.count = COUNT;
    run.options.buffers = BUFFERS;
    return &run;
}

/* Chunks of one block. */
static void run_virtual(run_t *run) {
    ranks_setup_t setup = {.loopback = {.size = run->size,
                                        .chunk_bytes = 1024,
                                        .virtual_time = true,
                                        .seed = 3,
                                        .delay_min_ns = 1000,
                                        .delay_max_ns = 2000000}};
    run_groups(&setup, body, run);
}

#define INT8      .encoding = SGP_ENCODING_INT8
#define INT4      .encoding = SGP_ENCODING_INT4
#define ALLREDUCE .algorithm = SGP_ALGORITHM_ALLREDUCE

static const sgp_mixer_options_t algorithms[] = {
    {INT8},
    {INT8, .graph.peers = 2},
    {INT8, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN},
    {INT8, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
    {INT8, .overlap = 2, .graph.peers = 2},
    {INT8, .overlap = SGP_OVERLAP_ASYNC},
    {INT8, .algorithm = SGP_ALGORITHM_DPSGD},
    {INT8, .algorithm = SGP_ALGORITHM_ADPSGD},
    {INT8, ALLREDUCE},
    {INT4, ALLREDUCE},
    {INT8, ALLREDUCE, .local_steps = 4},
    {INT4, ALLREDUCE, .local_steps = 4},
};

enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

/* What the last exchange of gradients has rounded and not sent yet: of each node's part and of the mean, half a scale of
 * numbers up to 50. Over the steps it does not grow. Everything else is exact but for the rounding of floats. */
static double tolerance_of(const sgp_mixer_options_t *options) {
    bool gradients = options->algorithm == SGP_ALGORITHM_ALLREDUCE && options->local_steps < 2;
    int levels = options->encoding == SGP_ENCODING_INT8 ? 127 : 7;
    return gradients ? (double)RATE * 50 / levels : 5e-5;
}

static void check_mean(const run_t *run, const char *name) {
    double tolerance = tolerance_of(&run->options);
    for (int i = 0; i < LENGTH; i++) {
        double expected = 0;
        for (int r = 0; r < run->size; r++)
            expected += ((double)number(r, i) - (i < COUNT ? run->moved[r][i] : 0)) / run->size;
        for (int r = 0; r < run->size; r++)
            if (fabs((double)run->mean[r][i] - expected) > tolerance)
                fail_msg("%s: element %d is %g, not %g", name, i, (double)run->mean[r][i],
                         expected);
    }
    for (int r = 0; r < run->size; r++) {
        assert_true(fabs(run->consensus[r].w_total - run->size) < 1e-9);
        assert_true(run->consensus[r].drift < 1e-5);
        assert_int_equal(run->statistics[r].refused, 0);
    }
}

static void test_no_mass_is_lost_in_many_steps(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++)
        for (int size = 2; size <= NODES; size += 3) {
            if (algorithms[a].graph.peers >= size) continue;
            run_t *run = run_of(algorithms[a], size, STEPS);
            run_virtual(run);
            check_mean(run, sgp_algorithm_name(run->options.algorithm));
        }
}

/* Where each step mixes: */
static const int lock_step[] = {0, 1, 3, 6};
enum { LOCK_STEP = sizeof lock_step / sizeof *lock_step };

/* Without gradients the nodes come as close to each other as the scales let them: numbers up to 21 in 127 steps. */
static void test_nodes_come_together(void **state) {
    (void)state;
    for (int l = 0; l < LOCK_STEP; l++) {
        run_t *run = run_of(algorithms[lock_step[l]], NODES, 80);
        run->still = true;
        run_virtual(run);
        check_mean(run, "still");
        for (int r = 0; r < NODES; r++)
            for (int i = 0; i < LENGTH; i++)
                assert_true(fabsf(run->z[r][i] - run->mean[0][i]) < 21.0f / 127);
    }
}

/* ---- bytes ---- */

/* By hand: two blocks of 256 numbers and one of 125. Pairs send as much in a question as in its answer. */
static void test_bytes_of_a_push(void **state) {
    (void)state;
    for (int l = 0; l < LOCK_STEP; l++) {
        run_t *run = run_of(algorithms[lock_step[l]], NODES, 9);
        run_virtual(run);
        for (int r = 0; r < NODES; r++)
            assert_int_equal(run->statistics[r].bytes_sent,
                             run->statistics[r].sent * (2 * 260 + 4 + 125));
        assert_true(run->statistics[0].sent > 0);
    }
    run_t *pairs = run_of(algorithms[7], NODES, 9);
    run_virtual(pairs);
    for (int r = 0; r < NODES; r++)
        assert_int_equal(pairs->statistics[r].bytes_sent,
                         pairs->statistics[r].sent * (2 * 260 + 4 + 125));
}

/* Segments of 128, 128, 128, 128 and 125 numbers; each node sends its parts of four, and its own to four. */
static void test_bytes_of_an_all_reduce(void **state) {
    (void)state;
    for (int four = 0; four < 2; four++) {
        sgp_mixer_options_t options = {ALLREDUCE, INT8};
        if (four) options.encoding = SGP_ENCODING_INT4;
        uint64_t full = four ? 4 + 64 : 4 + 128, last = four ? 4 + 63 : 4 + 125;
        run_t *run = run_of(options, NODES, 9);
        run_virtual(run);
        for (int r = 0; r < NODES; r++) {
            uint64_t mine = r < NODES - 1 ? full : last;
            uint64_t step = 4 * full + last - mine + 4 * mine;
            assert_int_equal(run->statistics[r].bytes_sent, 9 * step);
        }
    }
}

/* ---- refusals ---- */

static void refused(sgp_mixer_options_t options, const char *says) {
    options.count = 10;
    options.graph.size = 4;
    assert_int_equal(sgp_mixer_check(&options), SGP_ERR_INVALID);
    if (!strstr(sgp_last_error(), says)) fail_msg("%s, not %s", sgp_last_error(), says);
}

static void test_refusals(void **state) {
    (void)state;
    refused((sgp_mixer_options_t){INT4, .overlap = SGP_OVERLAP_ASYNC}, "int8");
    refused((sgp_mixer_options_t){INT4, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1}, "int8");
    refused((sgp_mixer_options_t){INT4, .algorithm = SGP_ALGORITHM_ADPSGD}, "int8");
    refused((sgp_mixer_options_t){INT8, .allow_not_finite = true}, "bfloat16");
    refused((sgp_mixer_options_t){INT4, ALLREDUCE, .allow_not_finite = true}, "bfloat16");
    sgp_mixer_options_t works = {INT4, ALLREDUCE, .count = 10, .graph.size = 4};
    assert_int_equal(sgp_mixer_check(&works), SGP_OK);
}

/* A switch is checked as a new mixer is, and a refused one changes nothing. */
static void switch_body(sgp_group_t *group, void *context) {
    sgp_mixer_t *mixer = NULL;
    sgp_mixer_options_t options = {ALLREDUCE, INT4, .count = COUNT};
    float initial[COUNT];
    (void)context;
    for (int i = 0; i < COUNT; i++) initial[i] = number(sgp_group_rank(group), i);
    CHECK(sgp_mixer_create(group, &options, initial, &mixer) == SGP_OK);
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    CHECK(sgp_mixer_switch(mixer, &(sgp_mixer_options_t){INT4, .overlap = 1, .count = COUNT}) ==
          SGP_ERR_INVALID);
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    CHECK(sgp_mixer_switch(mixer, &(sgp_mixer_options_t){INT4, .count = COUNT}) == SGP_OK);
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    CHECK(sgp_mixer_switch(mixer, &(sgp_mixer_options_t){INT8, .count = COUNT}) == SGP_OK);
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    sgp_mixer_consensus_t consensus;
    CHECK(sgp_mixer_average(mixer, initial, &consensus) == SGP_OK);
    CHECK(consensus.drift < 1e-5);
    sgp_mixer_destroy(mixer);
}

static void test_switches(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 3, .chunk_bytes = 1024}};
    run_groups(&setup, switch_body, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_mass_is_lost_in_many_steps),
        cmocka_unit_test(test_nodes_come_together),
        cmocka_unit_test(test_bytes_of_a_push),
        cmocka_unit_test(test_bytes_of_an_all_reduce),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_switches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
