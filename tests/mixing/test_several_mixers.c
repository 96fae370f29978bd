/* SPDX-License-Identifier: Apache-2.0 */
/* Several mixers with an overlap in one group: each has the bits that it has alone. */
#include "ranks.h"

#include "mixing/mixer_core.h"
#include "mixing/progress_thread.h"

#include <math.h>
#include <string.h>

enum { MOST = 3, SIZE = 4, COUNT = 300, LARGE = (1 << 18) + 100, STEPS = 6 };

#define RATE 0.05f

typedef struct run {
    int mixers;
    sgp_mixer_options_t options[MOST];
    int alone;                  /* only this one is there; -1: all */
    int end_at;                 /* mixer 0 is destroyed after so many steps; 0: never */
    bool hold, gather, average; /* in between */
    /* Results, by mixer and rank. */
    float *z[MOST][SIZE], *mean[MOST][SIZE];
    sgp_mixer_consensus_t consensus[MOST][SIZE];
} run_t;

typedef struct node {
    run_t *run;
    sgp_group_t *group;
    int rank;
    sgp_mixer_t *mixers[MOST];
    sgp_optimizer_t *optimizers[MOST];
    float *gradient;
} node_t;

static bool has(const run_t *run, int m) {
    return m < run->mixers && (run->alone < 0 || run->alone == m);
}

static void make(node_t *node, int m) {
    size_t count = node->run->options[m].count;
    float *initial = malloc(count * sizeof *initial);
    for (size_t i = 0; i < count; i++) initial[i] = (float)(node->rank * (m + 1) + (int)(i % 5));
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = count, .momentum = 0.5f},
                               &node->optimizers[m]) == SGP_OK);
    CHECK(sgp_mixer_create(node->group, &node->run->options[m], initial, &node->mixers[m]) ==
          SGP_OK);
    free(initial);
}

static void end(node_t *node, int m) {
    size_t count = node->run->options[m].count;
    float **z = &node->run->z[m][node->rank], **mean = &node->run->mean[m][node->rank];
    if (!node->mixers[m]) return;
    *z = malloc(count * sizeof **z);
    *mean = malloc(count * sizeof **mean);
    CHECK(sgp_mixer_average(node->mixers[m], *mean, &node->run->consensus[m][node->rank]) ==
          SGP_OK);
    memcpy(*z, sgp_mixer_parameters(node->mixers[m]), count * sizeof **z);
    sgp_mixer_destroy(node->mixers[m]);
    sgp_optimizer_destroy(node->optimizers[m]);
    node->mixers[m] = NULL;
}

static void step(node_t *node, int m, int k) {
    sgp_mixer_t *mixer = node->mixers[m];
    float *z = sgp_mixer_parameters(mixer);
    for (size_t i = 0; i < node->run->options[m].count; i++)
        node->gradient[i] = 0.3f * (z[i] - (float)((node->rank * 3 + (int)i + k) % 7));
    if (node->run->hold && k % 2) {
        sgp_mixer_statistics_t statistics;
        CHECK(sgp_mixer_hold(mixer) == SGP_OK);
        sgp_mixer_statistics(mixer, &statistics);
        sgp_optimizer_step(node->optimizers[m], z, node->gradient,
                           (float)(RATE / statistics.weight));
        CHECK(sgp_mixer_step(mixer, NULL, NULL, RATE) == SGP_OK);
    } else CHECK(sgp_mixer_step(mixer, node->optimizers[m], node->gradient, RATE) == SGP_OK);
}

static void body(sgp_group_t *group, void *context) {
    run_t *run = context;
    node_t node = {.run = run, .group = group, .rank = sgp_group_rank(group)};
    node.gradient = malloc(LARGE * sizeof *node.gradient);
    for (int m = 0; m < MOST; m++)
        if (has(run, m)) make(&node, m);
    for (int k = 0; k < STEPS; k++) {
        for (int m = 0; m < MOST; m++)
            if (node.mixers[m]) step(&node, m, k);
        if (run->gather && k % 3 == 1) CHECK(sgp_group_barrier(group) == SGP_OK);
        for (int m = 0; m < MOST && run->average && k % 4 == 2; m++)
            if (node.mixers[m]) CHECK(sgp_mixer_average(node.mixers[m], NULL, NULL) == SGP_OK);
        if (k + 1 == run->end_at) end(&node, 0);
    }
    for (int m = 0; m < MOST; m++) end(&node, m);
    free(node.gradient);
}

static void free_results(run_t *run) {
    for (int m = 0; m < MOST; m++)
        for (int r = 0; r < SIZE; r++) free(run->z[m][r]), free(run->mean[m][r]);
}

static bool is_deterministic(const sgp_mixer_options_t *options) {
    return options->overlap >= 0;
}

static void check_mass(const run_t *run, int m, int ranks) {
    for (int r = 0; r < ranks; r++) {
        assert_true(fabs(run->consensus[m][r].w_total - ranks) < 1e-9);
        assert_true(run->consensus[m][r].drift < 1e-5);
        assert_memory_equal(run->mean[m][r], run->mean[m][0],
                            run->options[m].count * sizeof(float));
    }
}

static void hold_against_each_alone(const ranks_setup_t *setup, run_t all) {
    int ranks = setup->loopback.size;
    all.alone = -1;
    for (int m = 0; m < all.mixers; m++)
        if (all.options[m].count == 0) all.options[m].count = COUNT;
    run_t one = all;
    run_groups(setup, body, &all);
    for (int m = 0; m < all.mixers; m++) {
        check_mass(&all, m, ranks);
        if (!is_deterministic(&all.options[m])) continue;
        one.alone = m;
        run_groups(setup, body, &one);
        size_t bytes = all.options[m].count * sizeof(float);
        for (int r = 0; r < ranks; r++) {
            assert_memory_equal(all.z[m][r], one.z[m][r], bytes);
            assert_memory_equal(all.mean[m][r], one.mean[m][r], bytes);
        }
        free_results(&one);
        memset(one.z, 0, sizeof one.z);
        memset(one.mean, 0, sizeof one.mean);
    }
    free_results(&all);
}

static const sgp_mixer_options_t overlap_1 = {.count = LARGE, .overlap = 1};
static const sgp_mixer_options_t overlap_2 = {
    .count = LARGE, .overlap = 2, .graph.kind = SGP_GRAPH_RANDOM};
static const sgp_mixer_options_t rounded = {
    .count = LARGE, .overlap = 1, .encoding = SGP_ENCODING_BFLOAT16};
static const sgp_mixer_options_t async = {.count = LARGE, .overlap = SGP_OVERLAP_ASYNC};
static const sgp_mixer_options_t lockstep = {.count = LARGE};
static const sgp_mixer_options_t mean = {.count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE};
static const sgp_mixer_options_t local = {.count = LARGE, .overlap = 1, .local_steps = 3};
static const sgp_mixer_options_t slow = {
    .count = LARGE, .overlap = 1, .slow_every = 3, .slow_momentum = 0.5f};

static run_t run_of(int mixers, sgp_mixer_options_t a, sgp_mixer_options_t b,
                    sgp_mixer_options_t c) {
    return (run_t){.mixers = mixers, .options = {a, b, c}};
}

static void test_same_bits_as_alone(void **state) {
    (void)state;
    ranks_setup_t setups[] = {
        {.loopback = {.size = SIZE}},
        {.shm = true, .loopback = {.size = SIZE}},
        {.tcp = true, .loopback = {.size = 3}},
    };
    run_t runs[] = {
        run_of(2, overlap_1, overlap_1, mean), run_of(3, overlap_1, overlap_2, rounded),
        run_of(3, overlap_1, async, lockstep), run_of(3, async, overlap_2, async),
        run_of(3, overlap_2, mean, rounded),   run_of(2, local, overlap_1, mean),
        run_of(3, slow, overlap_1, local),
    };
    for (int s = 0; s < 3; s++)
        for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
            run_t run = runs[r];
            run.hold = run.gather = s == 1;
            run.average = s == 1 && r % 2;
            if (s == 1 || (int)r % 3 == s) hold_against_each_alone(&setups[s], run);
        }
}

static void test_in_virtual_time(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = SIZE,
                                        .chunk_bytes = 65536,
                                        .virtual_time = true,
                                        .seed = 8,
                                        .delay_min_ns = 1000,
                                        .delay_max_ns = 20000000}};
    hold_against_each_alone(&setup, run_of(3, overlap_1, overlap_2, rounded));
    hold_against_each_alone(&setup, run_of(3, async, overlap_2, overlap_1));
}

/* The others go on with the same bits. */
static void test_one_ends_before_the_others(void **state) {
    (void)state;
    ranks_setup_t setup = {.shm = true, .loopback = {.size = SIZE}};
    run_t runs[] = {
        run_of(2, overlap_1, overlap_2, mean),
        run_of(3, async, overlap_1, rounded),
        run_of(3, overlap_2, async, async),
    };
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        runs[r].end_at = 4;
        hold_against_each_alone(&setup, runs[r]);
    }
}

/* At once, also without an average before. */
static void make_and_destroy(sgp_group_t *group, void *context) {
    (void)context;
    for (int round = 0; round < 5; round++) {
        sgp_mixer_t *mixers[MOST] = {0};
        const sgp_mixer_options_t *options[] = {&overlap_1, &async, &rounded};
        for (int m = 0; m < MOST; m++)
            CHECK(sgp_mixer_create(group, options[m], NULL, &mixers[m]) == SGP_OK);
        for (int k = 0; k < 2; k++)
            for (int m = 0; m < MOST; m++) {
                if (m != 1) CHECK(sgp_mixer_hold(mixers[m]) == SGP_OK);
                CHECK(sgp_mixer_step(mixers[m], NULL, NULL, 0) == SGP_OK);
            }
        for (int m = 0; m < MOST; m++) sgp_mixer_destroy(mixers[(m + round) % MOST]);
        CHECK(!sgp_group_has_lease(group));
    }
    CHECK(sgp_group_barrier(group) == SGP_OK);
}

static void test_destroyed_at_once(void **state) {
    (void)state;
    ranks_setup_t setups[] = {{.loopback = {.size = SIZE}}, {.shm = true, .loopback = {.size = 3}}};
    for (int s = 0; s < 2; s++) run_groups(&setups[s], make_and_destroy, NULL);
}

/* Its partners would wait for a node that waits elsewhere. */
static void refuse_pairs(sgp_group_t *group, void *context) {
    const sgp_algorithm_t *algorithm = context;
    const sgp_mixer_options_t pairs = {.count = COUNT, .algorithm = *algorithm};
    const sgp_mixer_options_t *others[] = {&pairs, &async, &overlap_1};
    sgp_mixer_t *mixer = NULL, *second = NULL;
    for (int o = 0; o < 3; o++) {
        CHECK(sgp_mixer_create(group, &pairs, NULL, &mixer) == SGP_OK);
        CHECK(sgp_mixer_create(group, others[o], NULL, &second) == SGP_ERR_UNSUPPORTED && !second);
        CHECK(strstr(sgp_last_error(), "cannot share a group") != NULL);
        CHECK(sgp_mixer_average(mixer, NULL, NULL) == SGP_OK);
        sgp_mixer_destroy(mixer);
        if (o == 0) continue;
        CHECK(sgp_mixer_create(group, others[o], NULL, &mixer) == SGP_OK);
        CHECK(sgp_mixer_create(group, &pairs, NULL, &second) == SGP_ERR_UNSUPPORTED && !second);
        CHECK(sgp_mixer_create(group, &overlap_2, NULL, &second) == SGP_OK);
        CHECK(sgp_mixer_switch(second, &pairs) == SGP_ERR_UNSUPPORTED);
        CHECK(sgp_mixer_step(second, NULL, NULL, 0) == SGP_OK);
        CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
        sgp_mixer_destroy(mixer);
        CHECK(sgp_mixer_switch(second, &pairs) == SGP_OK); /* now it is alone */
        CHECK(sgp_mixer_average(second, NULL, NULL) == SGP_OK);
        sgp_mixer_destroy(second);
        second = NULL;
    }
}

static void test_pairs_do_not_share(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = SIZE}};
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    sgp_algorithm_t alone[] = {SGP_ALGORITHM_ADPSGD, SGP_ALGORITHM_SERVER};
    for (int a = 0; a < 2; a++) run_groups(&setup, refuse_pairs, &alone[a]);
    sgp_log_set(NULL, NULL, SGP_LOG_WARNING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits_as_alone),         cmocka_unit_test(test_in_virtual_time),
        cmocka_unit_test(test_one_ends_before_the_others), cmocka_unit_test(test_destroyed_at_once),
        cmocka_unit_test(test_pairs_do_not_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
