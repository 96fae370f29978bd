/* SPDX-License-Identifier: Apache-2.0 */
/* Encodings that know the receiver in the mixing: the sum of x holds with and without refused blocks, on graphs that keep the
 * weights and on one that moves them; nodes that start apart; the same bits whatever the delays, whole and in parts, and after a
 * state was saved; bytes; what they cannot do is refused. Every coordinate differs, so that the codes of a block do. */
#include "ranks.h"

#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"
#include "mixing/mixer_options.h"
#include "mixing/ranges.h"

#include <math.h>
#include <string.h>

enum { NODES = 5, COUNT = 1100, BUFFERS = 37, LENGTH = COUNT + BUFFERS };

#define RATE 0.05f

typedef struct run {
    sgp_mixer_options_t options;
    int size, steps;
    bool apart;  /* nodes begin with other numbers */
    bool parts;  /* steps in parts of odd lengths */
    bool saved;  /* halfway the state goes to a mixer of its own */
    float kappa; /* 0: the codec's */
    unsigned seed;
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

static float initial_of(const run_t *run, int rank, int i) {
    return number(run->apart ? rank : 0, i);
}

static void step_in_parts(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient,
                          int step) {
    CHECK(sgp_mixer_begin(mixer, optimizer, gradient, RATE) == SGP_OK);
    for (int end = LENGTH, begin; end > 0; end = begin) {
        begin = end > 170 + step ? end - 170 - step : 0;
        CHECK(sgp_mixer_part(mixer, (size_t)begin, (size_t)(end - begin)) == SGP_OK);
    }
    CHECK(sgp_mixer_end(mixer) == SGP_OK);
    CHECK(sgp_mixer_wait(mixer, 0, LENGTH) == SGP_OK);
}

static sgp_mixer_t *create(sgp_group_t *group, const run_t *run, const float *initial) {
    sgp_mixer_t *mixer = NULL;
    CHECK(sgp_mixer_create(group, &run->options, initial, &mixer) == SGP_OK);
    if (run->kappa > 0 && mixer->ranges) mixer->ranges->code.kappa = run->kappa;
    return mixer;
}

/* All nodes at the same step. */
static sgp_mixer_t *save_and_load(sgp_group_t *group, const run_t *run, sgp_mixer_t *mixer,
                                  const float *initial) {
    static unsigned char bytes[NODES][1 << 20];
    int rank = sgp_group_rank(group);
    size_t size = sgp_mixer_state_size(mixer);
    assert_true(size < sizeof bytes[rank]);
    CHECK(sgp_mixer_state_save(mixer, bytes[rank], size) == SGP_OK);
    sgp_mixer_destroy(mixer);
    mixer = create(group, run, initial);
    CHECK(sgp_mixer_state_load(mixer, bytes[rank], size) == SGP_OK);
    return mixer;
}

static void body(sgp_group_t *group, void *context) {
    run_t *run = context;
    int rank = sgp_group_rank(group);
    sgp_optimizer_t *optimizer = NULL;
    float initial[LENGTH], gradient[COUNT];
    for (int i = 0; i < LENGTH; i++) initial[i] = initial_of(run, rank, i);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    sgp_mixer_t *mixer = create(group, run, initial);
    for (int step = 0; step < run->steps; step++) {
        const float *z = sgp_mixer_parameters(mixer);
        for (int i = 0; i < COUNT; i++) {
            gradient[i] = (z[i] - number(rank + 1, i + step % 3)) * (step % 50 == 49 ? 5 : 1);
            run->moved[rank][i] += (double)RATE * (double)gradient[i];
        }
        if (run->parts) step_in_parts(mixer, optimizer, gradient, step);
        else CHECK(sgp_mixer_step(mixer, optimizer, gradient, RATE) == SGP_OK);
        if (run->saved && step == run->steps / 2) mixer = save_and_load(group, run, mixer, initial);
    }
    memcpy(run->z[rank], sgp_mixer_parameters(mixer), sizeof run->z[rank]);
    sgp_mixer_statistics(mixer, &run->statistics[rank]);
    CHECK(sgp_mixer_average(mixer, run->mean[rank], &run->consensus[rank]) == SGP_OK);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static void make(run_t *run) {
    run->options.count = COUNT;
    run->options.buffers = BUFFERS;
    ranks_setup_t setup = {.loopback = {.size = run->size,
                                        .chunk_bytes = 2048,
                                        .virtual_time = true,
                                        .seed = 3 + run->seed,
                                        .delay_min_ns = 1000,
                                        .delay_max_ns = 2000000}};
    run_groups(&setup, body, run);
}

static uint64_t refused(const run_t *run) {
    uint64_t sum = 0;
    for (int r = 0; r < run->size; r++) sum += run->statistics[r].refused;
    return sum;
}

static uint64_t resent(const run_t *run) {
    uint64_t sum = 0;
    for (int r = 0; r < run->size; r++) sum += run->statistics[r].resent;
    return sum;
}

/* The sum of x is what the local steps have made it, but for the rounding of floats. */
static void check_mass(const run_t *run, const char *name) {
    for (int i = 0; i < LENGTH; i++) {
        double expected = 0;
        for (int r = 0; r < run->size; r++)
            expected +=
                ((double)initial_of(run, r, i) - (i < COUNT ? run->moved[r][i] : 0)) / run->size;
        for (int r = 0; r < run->size; r++)
            if (fabs((double)run->mean[r][i] - expected) > 2e-4)
                fail_msg("%s: element %d is %g, not %g", name, i, (double)run->mean[r][i],
                         expected);
    }
    for (int r = 0; r < run->size; r++) {
        assert_true(fabs(run->consensus[r].w_total - run->size) < 1e-9);
        assert_true(run->consensus[r].drift < 1e-5);
    }
    assert_int_equal(refused(run), resent(run));
}

static const sgp_encoding_t encodings[] = {SGP_ENCODING_INT8M, SGP_ENCODING_INT6, SGP_ENCODING_INT5,
                                           SGP_ENCODING_INT4};

#define EACH_ENCODING(e) for (int e = 0; e < 4; e++)

static const sgp_mixer_options_t graphs[] = {
    {.rounds = 1},
    {.rounds = 3},
    {.graph.peers = 2},
    {.graph.peers = 3, .rounds = 2},
    {.graph.kind = SGP_GRAPH_RANDOM},
    {.graph.kind = SGP_GRAPH_RANDOM_UNEVEN, .rounds = 2},
    {.graph.kind = SGP_GRAPH_COMPLETE},
    {.algorithm = SGP_ALGORITHM_DPSGD},
    {.local_steps = 3},
};

enum { GRAPHS = sizeof graphs / sizeof *graphs };

static run_t *run_of(int graph, sgp_encoding_t encoding, int size, int steps) {
    static run_t run;
    run = (run_t){.options = graphs[graph], .size = size, .steps = steps};
    run.options.encoding = encoding;
    return &run;
}

static void test_no_mass_is_lost(void **state) {
    (void)state;
    for (int g = 0; g < GRAPHS; g++) EACH_ENCODING(e) {
            run_t *run = run_of(g, encodings[e], g % 2 ? NODES : 4, 60);
            make(run);
            check_mass(run, sgp_encoding_name(encodings[e]));
        }
}

/* Ranges far too small, and nodes that begin apart: many blocks are refused. */
static void test_no_mass_is_lost_with_refused_blocks(void **state) {
    (void)state;
    for (int g = 0; g < GRAPHS; g++) EACH_ENCODING(e) {
            run_t *run = run_of(g, encodings[e], g % 2 ? 4 : NODES, 40);
            run->apart = true;
            run->kappa = 0.1f;
            make(run);
            check_mass(run, sgp_encoding_name(encodings[e]));
            assert_true(refused(run) > 40);
        }
}

/* With the codec's own kappa only at the beginning, until the ranges have grown: every node and chunk once or twice. */
static void test_ranges_follow(void **state) {
    (void)state;
    EACH_ENCODING(e) {
        run_t *run = run_of(1, encodings[e], 4, 200);
        make(run);
        check_mass(run, sgp_encoding_name(encodings[e]));
        uint64_t alike = refused(run), chunks = 4 * 3 * 200 * 3;
        if (alike > chunks / 50) fail_msg("%d of %d chunks are refused", (int)alike, (int)chunks);
    }
}

/* A period of rounds makes the exact mean, but for the rounding of the codes. A step of b bits is 2 to 4 kappa r / 2^b with a
 * range r of at least twice the local step, so half of kappa / 2^b makes the steps half as long. */
static void test_rounds_bring_nodes_together(void **state) {
    (void)state;
    double distance[4];
    EACH_ENCODING(e) {
        run_t *run = run_of(1, encodings[e], 4, 60);
        run->options.rounds = SGP_ROUNDS_AUTO;
        make(run);
        distance[e] = run->consensus[0].distance;
    }
    assert_true(distance[0] < 0.7 * distance[1]); /* 8 / 256, 4 / 64, 4 / 32, 2 / 16 */
    assert_true(distance[1] < 0.7 * distance[2] && distance[1] < 0.7 * distance[3]);
}

/* ---- the same bits ---- */

static void same(run_t *a, run_t *b, const char *what) {
    make(a);
    make(b);
    for (int r = 0; r < a->size; r++)
        if (memcmp(a->z[r], b->z[r], sizeof a->z[r]) != 0) fail_msg("%s: node %d differs", what, r);
}

static void test_same_bits(void **state) {
    (void)state;
    static run_t other;
    for (int g = 0; g < GRAPHS; g++)
        for (int way = 0; way < 3; way++) {
            run_t *run = run_of(g, encodings[g % 4], NODES, 24);
            run->apart = g % 2;
            run->kappa = g % 3 ? 0 : 0.3f;
            other = *run;
            if (way == 0) other.seed = 17;
            if (way == 1) other.parts = true;
            if (way == 2) other.saved = true;
            same(run, &other, way == 0 ? "delays" : way == 1 ? "parts" : "saved");
        }
}

/* ---- bytes ---- */

/* By hand: five blocks of 5 + 32 bits bytes. Nodes that begin alike and do not move refuse nothing. */
static void test_bytes_of_a_push(void **state) {
    (void)state;
    static const unsigned bits[] = {8, 6, 5, 4};
    EACH_ENCODING(e) {
        run_t *run = run_of(0, encodings[e], NODES, 40);
        make(run);
        uint64_t sent = 0, bytes = 0;
        for (int r = 0; r < NODES; r++) sent += run->statistics[r].sent;
        for (int r = 0; r < NODES; r++) bytes += run->statistics[r].bytes_sent;
        assert_int_equal(sent, 40 * NODES);
        assert_true(bytes >= sent * 5 * (5 + 32 * bits[e]));
        assert_true(bytes <= sent * 5 * (5 + 32 * bits[e]) + resent(run) * 512 * 4);
    }
}

/* ---- refusals ---- */

static void refuse(sgp_mixer_options_t options, const char *says) {
    options.count = 10;
    options.graph.size = 4;
    assert_int_equal(sgp_mixer_check(&options), SGP_ERR_INVALID);
    if (!strstr(sgp_last_error(), says)) fail_msg("%s, not %s", sgp_last_error(), says);
}

static void test_refusals(void **state) {
    (void)state;
    EACH_ENCODING(e) {
        sgp_mixer_options_t options = {.encoding = encodings[e]};
        options.allow_not_finite = true;
        refuse(options, "bfloat16");
        options.allow_not_finite = false;
        options.biased = true;
        refuse(options, "int8");
        options.biased = false;
        options.algorithm = SGP_ALGORITHM_OSGP;
        options.overlap = 1;
        refuse(options, "sgp and dpsgd");
        options.overlap = SGP_OVERLAP_ASYNC;
        refuse(options, "sgp and dpsgd");
        options.algorithm = SGP_ALGORITHM_ADPSGD;
        options.graph.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL;
        options.overlap = 0;
        refuse(options, "sgp and dpsgd");
        options.algorithm = SGP_ALGORITHM_ALLREDUCE;
        if (encodings[e] != SGP_ENCODING_INT4) refuse(options, "int8 and int4");
    }
    refuse((sgp_mixer_options_t){.encoding = SGP_ENCODING_INT4M}, "no encoding 9");
}

static void body_small(sgp_group_t *group, void *context) {
    (void)context;
    sgp_mixer_t *mixer = NULL;
    float initial[10] = {0};
    sgp_mixer_options_t options = {.encoding = SGP_ENCODING_INT6, .count = 10};
    CHECK(sgp_mixer_create(group, &options, initial, &mixer) == SGP_ERR_INVALID);
    CHECK(mixer == NULL);
}

static void test_chunks_too_short_for_a_block(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 2, .chunk_bytes = 64}};
    run_groups(&setup, body_small, NULL);
}

/* The name is the same in all-reduce and in sgp; the codes are not. */
static void test_int4_follows_the_algorithm(void **state) {
    (void)state;
    sgp_mixer_options_t options = {.encoding = SGP_ENCODING_INT4};
    assert_int_equal(sgp_mixer_encoding(&options), SGP_ENCODING_INT4M);
    assert_string_equal(sgp_encoding_name(SGP_ENCODING_INT4M), "int4");
    options.algorithm = SGP_ALGORITHM_ALLREDUCE;
    assert_int_equal(sgp_mixer_encoding(&options), SGP_ENCODING_INT4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_mass_is_lost),
        cmocka_unit_test(test_no_mass_is_lost_with_refused_blocks),
        cmocka_unit_test(test_ranges_follow),
        cmocka_unit_test(test_rounds_bring_nodes_together),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_bytes_of_a_push),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_chunks_too_short_for_a_block),
        cmocka_unit_test(test_int4_follows_the_algorithm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
