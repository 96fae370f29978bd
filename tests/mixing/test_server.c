/* SPDX-License-Identifier: Apache-2.0 */
/* The parameter server: equal to SGD on one node, nothing is lost or applied twice, staleness is counted, and a slow node
 * delays no other. */
#include "trial.h"

#include "mixing/mixer_options.h"
#include "optimizer/optimizer_internal.h"

enum { COUNT = 333, STEPS = 40 };

static const sgp_mixer_options_t server = {.count = COUNT, .algorithm = SGP_ALGORITHM_SERVER};

/* A trial whose nodes start alike, as a server's nodes have to. */
static trial_t *trial_from(sgp_mixer_options_t options, int steps) {
    trial_t *trial = trial_of(options, steps);
    for (int r = 0; r < MOST; r++) trial->z0[r] = 1.5f;
    trial->decay = 0; /* the server's parameters decay, which no node knows */
    return trial;
}

static const sgp_mixer_options_t small = {.count = 40, .algorithm = SGP_ALGORITHM_SERVER};

/* ---- equal to SGD ---- */

typedef struct bits {
    float momentum, decay;
    float got[COUNT];
    int worker; /* the rank whose gradients are not 0 */
} bits_t;

static void make_gradient(const float *z, int step, float *gradient) {
    for (size_t i = 0; i < COUNT; i++)
        gradient[i] = z[i] - (float)((i * 7 + (size_t)step * 3) % 11) * 0.3f;
}

/* The others' gradients are 0, and without momentum and decay leave the parameters as they are. */
static void follow(sgp_group_t *group, void *context) {
    bits_t *bits = context;
    float *gradient = calloc(COUNT, sizeof *gradient);
    sgp_optimizer_options_t options = {
        .count = COUNT, .momentum = bits->momentum, .weight_decay = bits->decay};
    sgp_optimizer_t *optimizer = NULL;
    sgp_mixer_t *mixer = NULL;
    bool works = sgp_group_rank(group) == bits->worker;
    CHECK(sgp_optimizer_create(&options, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &server, NULL, &mixer) == SGP_OK);
    for (int k = 0; k < STEPS; k++) {
        if (works) make_gradient(sgp_mixer_parameters(mixer), k, gradient);
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, LR) == SGP_OK);
    }
    if (works) memcpy(bits->got, sgp_mixer_parameters(mixer), sizeof bits->got);
    CHECK(sgp_mixer_average(mixer, gradient, NULL) == SGP_OK);
    CHECK(memcmp(gradient, sgp_mixer_parameters(mixer), sizeof bits->got) == 0);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    free(gradient);
}

static void expect_sgd(const bits_t *bits, float rate) {
    float z[COUNT] = {0}, gradient[COUNT];
    sgp_optimizer_options_t options = {
        .count = COUNT, .momentum = bits->momentum, .weight_decay = bits->decay};
    sgp_optimizer_t *optimizer = NULL;
    assert_int_equal(sgp_optimizer_create(&options, &optimizer), SGP_OK);
    for (int k = 0; k < STEPS; k++) {
        make_gradient(z, k, gradient);
        sgp_optimizer_step(optimizer, z, gradient, rate);
    }
    assert_memory_equal(bits->got, z, sizeof z);
    sgp_optimizer_destroy(optimizer);
}

static void test_one_node_is_sgd(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 1}};
    bits_t bits = {.momentum = 0.9f, .decay = 1e-3f};
    run_groups(&setup, follow, &bits);
    expect_sgd(&bits, LR);
}

/* Its gradients count half of a mean of two. */
static void test_one_worker_is_sgd(void **state) {
    (void)state;
    const ranks_setup_t setups[] = {delays(2, 3, MILLISECOND),
                                    threads(2, false),
                                    threads(2, true),
                                    {.tcp = true, .loopback = {.size = 2, .chunk_bytes = 512}}};
    for (size_t s = 0; s < sizeof setups / sizeof *setups; s++) {
        bits_t bits = {.worker = 1};
        run_groups(&setups[s], follow, &bits);
        expect_sgd(&bits, LR / 2);
    }
}

/* ---- nothing is lost ---- */

static void check_counts(const trial_t *trial, int size) {
    uint64_t requests = 0, sent = 0, received = 0;
    for (int r = 1; r < size; r++) {
        requests += (uint64_t)trial->made[r];
        assert_int_equal(trial->statistics[r].sent, trial->made[r]);
        assert_int_equal(trial->statistics[r].received, trial->made[r]);
    }
    for (int r = 0; r < size; r++) {
        sent += trial->at_end[r].sent;
        received += trial->at_end[r].received;
    }
    assert_int_equal(trial->at_end[0].received, requests);
    assert_int_equal(trial->at_end[0].sent, requests + (uint64_t)size - 1); /* the last values */
    assert_int_equal(sent, received);
    for (int r = 0; r < size; r++) assert_true(trial->consensus[r].distance == 0);
}

/* Whatever the order of the gradients, each is applied once, and counts lr / n. */
static void test_every_gradient_counts_once(void **state) {
    (void)state;
    for (int size = 2; size <= 9; size++) {
        ranks_setup_t setup = delays(size, (uint64_t)size, 3 * MILLISECOND);
        trial_t *trial = trial_from(small, 25);
        for (int r = 0; r < size; r++) trial->compute[r] = (uint64_t)(1 + r % 3) * MILLISECOND;
        run_groups(&setup, try_body, trial);
        check_mean(trial, size, 2e-5);
        check_counts(trial, size);
    }
}

static void test_on_threads(void **state) {
    (void)state;
    const ranks_setup_t setups[] = {threads(5, false),
                                    threads(5, true),
                                    {.tcp = true, .loopback = {.size = 5, .chunk_bytes = 64}}};
    for (size_t s = 0; s < sizeof setups / sizeof *setups; s++) {
        trial_t *trial = trial_from(small, 60);
        run_groups(&setups[s], try_body, trial);
        check_mean(trial, 5, 4e-5);
        check_counts(trial, 5);
    }
}

/* Changes of the callers, and those of the buffers; also where the first step is a switch. */
static void test_own_changes_and_buffers(void **state) {
    (void)state;
    for (int own = 0; own < 2; own++)
        for (int switches = 0; switches < 2; switches++) {
            ranks_setup_t setup = delays(5, 4, MILLISECOND);
            trial_t *trial = trial_from(small, 21);
            trial->options.buffers = 9;
            trial->own_optimizer = own;
            trial->average_every = 7;
            trial->then = trial->options;
            if (switches) trial->options.algorithm = SGP_ALGORITHM_SGP;
            if (switches) trial->switch_at = 4;
            for (int r = 0; r < 5; r++) trial->compute[r] = (uint64_t)(1 + r) * MILLISECOND;
            for (int r = 0; r < 5; r++) trial->added[r] = 0.25f * (float)r;
            run_groups(&setup, try_body, trial);
            check_mean(trial, 5, 3e-5);
        }
}

/* From a server to every other algorithm. */
static void test_switch_to_others(void **state) {
    (void)state;
    for (int to = 0; to < SGP_ALGORITHM_SERVER; to++) {
        ranks_setup_t setup = delays(5, 9, MILLISECOND);
        trial_t *trial = trial_from(small, 11);
        trial->switch_at = 5;
        trial->then = (sgp_mixer_options_t){.count = 40, .algorithm = (sgp_algorithm_t)to};
        if (to == SGP_ALGORITHM_OSGP) trial->then.overlap = 1;
        for (int r = 0; r < 5; r++) trial->compute[r] = (uint64_t)(1 + r % 3) * MILLISECOND;
        run_groups(&setup, try_body, trial);
        check_mean(trial, 5, 2e-5);
    }
}

/* A rounded gradient is as exact as its encoding, and all end with the same parameters. */
static void test_encodings(void **state) {
    (void)state;
    const sgp_encoding_t encodings[] = {SGP_ENCODING_BFLOAT16, SGP_ENCODING_FLOAT16};
    for (int e = 0; e < 2; e++) {
        ranks_setup_t setup = delays(4, 6, MILLISECOND);
        trial_t *trial = trial_from(small, 25);
        trial->options.encoding = encodings[e];
        run_groups(&setup, try_body, trial);
        double expected = 0;
        for (int r = 0; r < 4; r++) expected += (1.5 - trial->moved[r]) / 4;
        for (int r = 0; r < 4; r++) {
            assert_true(fabs(trial->mean[r] - expected) < 0.02);
            assert_true(trial->consensus[r].distance == 0);
            assert_true(trial->consensus[r].drift < 1e-5);
            assert_int_equal(trial->statistics[r].bytes_sent, trial->statistics[r].sent * 80);
        }
    }
}

/* ---- staleness ---- */

/* The server has made its seven steps before the first gradient of the other node arrives, which so is the only late one. */
static void test_staleness(void **state) {
    (void)state;
    ranks_setup_t setup = delays(2, 8, MILLISECOND);
    trial_t *trial = trial_from(small, 7);
    trial->compute[0] = MILLISECOND;
    trial->compute[1] = 100 * MILLISECOND;
    run_groups(&setup, try_body, trial);
    assert_int_equal(trial->at_end[0].late, 1);
    assert_int_equal(trial->at_end[0].staleness, 7);
    assert_int_equal(trial->at_end[1].staleness, 0);
}

/* Three nodes of the same speed: between two requests of one there is one of the other, and a step of the server. */
static void test_staleness_is_the_number_of_others(void **state) {
    (void)state;
    ranks_setup_t setup = delays(3, 8, 1001);
    trial_t *trial = trial_from(small, 50);
    for (int r = 0; r < 3; r++) trial->compute[r] = 10 * MILLISECOND;
    run_groups(&setup, try_body, trial);
    double mean = (double)trial->at_end[0].staleness / (double)trial->at_end[0].received;
    assert_true(mean > 1.8 && mean < 2.2);
}

/* ---- waiting ---- */

/* A node that computes fifty times as long, whichever it is, delays no other. */
static void test_a_slow_node_delays_no_other(void **state) {
    (void)state;
    for (int slow = 0; slow < 4; slow++) {
        ranks_setup_t setup = delays(4, 5, MILLISECOND / 10);
        trial_t *trial = trial_from(small, 0);
        trial->until = 1000 * (uint64_t)MILLISECOND;
        for (int r = 0; r < 4; r++) trial->compute[r] = (r == slow ? 50 : 1) * MILLISECOND;
        run_groups(&setup, try_body, trial);
        for (int r = 0; r < 4; r++) {
            if (r == slow) assert_in_range(trial->made[r], 10, 21);
            else assert_in_range(trial->made[r], 500, 1001); /* a request takes 0.8 ms at most */
        }
        check_mean(trial, 4, 1e-3);
    }
}

/* ---- changes between steps ---- */

static void add_between(sgp_group_t *group, void *context) {
    float change[COUNT], gradient[COUNT] = {0}, average[COUNT];
    int rank = sgp_group_rank(group), size = sgp_group_size(group);
    const bool *steps = context;
    sgp_optimizer_t *optimizer = NULL;
    sgp_mixer_t *mixer = NULL;
    sgp_mixer_consensus_t consensus;
    for (size_t i = 0; i < COUNT; i++) change[i] = (float)(rank + 1);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &server, NULL, &mixer) == SGP_OK);
    for (int k = 0; k < 4; k++) {
        CHECK(sgp_mixer_add(mixer, 0, COUNT, change) == SGP_OK);
        if (*steps) CHECK(sgp_mixer_step(mixer, optimizer, gradient, 0) == SGP_OK);
    }
    CHECK(sgp_mixer_average(mixer, average, &consensus) == SGP_OK);
    for (size_t i = 0; i < COUNT; i++) CHECK(fabsf(average[i] - 4 * (float)(size + 1) / 2) < 1e-4f);
    CHECK(consensus.drift < 1e-6);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static void test_adding_between_steps(void **state) {
    (void)state;
    for (int steps = 0; steps < 2; steps++) {
        ranks_setup_t setup = delays(3, 5, MILLISECOND);
        bool stepped = steps;
        run_groups(&setup, add_between, &stepped);
    }
}

/* Steps with the mixer's optimizer, with the caller's in a hold, and holds for nothing, in any order on each node. */
static void mix_steps(sgp_group_t *group, void *context) {
    float gradient[COUNT], average[COUNT];
    int rank = sgp_group_rank(group), size = sgp_group_size(group);
    sgp_optimizer_t *optimizer = NULL;
    sgp_mixer_t *mixer = NULL;
    sgp_mixer_consensus_t consensus;
    (void)context;
    for (size_t i = 0; i < COUNT; i++) gradient[i] = (float)(rank + 1);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &server, NULL, &mixer) == SGP_OK);
    for (int k = 0; k < 24; k++) {
        bool held = (k + rank) % 3 > 0, changes = (k + rank) % 3 == 1;
        compute(sgp_group_transport(group), (uint64_t)((k + rank) % 2) * MILLISECOND);
        if (held) CHECK(sgp_mixer_hold(mixer) == SGP_OK);
        float *z = sgp_mixer_parameters(mixer);
        for (size_t i = 0; changes && i < COUNT; i++) z[i] -= LR * gradient[i];
        CHECK(sgp_mixer_step(mixer, held ? NULL : optimizer, gradient, LR) == SGP_OK);
    }
    CHECK(sgp_mixer_average(mixer, average, &consensus) == SGP_OK);
    for (size_t i = 0; i < COUNT; i++)
        CHECK(fabsf(average[i] + 16 * LR * (float)(size + 1) / 2) < 1e-4f);
    CHECK(consensus.drift < 1e-5);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static void test_steps_of_all_kinds(void **state) {
    (void)state;
    ranks_setup_t setups[] = {delays(4, 5, MILLISECOND), threads(4, true)};
    for (int s = 0; s < 2; s++) run_groups(&setups[s], mix_steps, NULL);
}

/* A gradient that is not finite stays on its node. */
static void send_not_finite(sgp_group_t *group, void *context) {
    float gradient[COUNT] = {0};
    sgp_optimizer_t *optimizer = NULL;
    sgp_mixer_t *mixer = NULL;
    bool is_bad = sgp_group_rank(group) == *(const int *)context;
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &server, NULL, &mixer) == SGP_OK);
    CHECK(sgp_mixer_step(mixer, optimizer, gradient, LR) == SGP_OK);
    if (is_bad) {
        gradient[COUNT - 3] = NAN;
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, LR) == SGP_ERR_NOT_FINITE);
    }
    for (size_t i = 0; i < COUNT && sgp_group_rank(group) > 0; i++)
        CHECK(sgp_mixer_parameters(mixer)[i] == 0);
    CHECK(sgp_group_barrier(group) == SGP_OK);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static void test_not_finite(void **state) {
    (void)state;
    ranks_setup_t setup = delays(3, 5, MILLISECOND);
    for (int bad = 1; bad < 3; bad++) run_groups(&setup, send_not_finite, &bad);
}

/* ---- refusals ---- */

static void test_refused_options(void **state) {
    (void)state;
    sgp_mixer_options_t bad[] = {
        {.local_steps = 2},
        {.slow_every = 4},
        {.overlap = 1},
        {.overlap = SGP_OVERLAP_ASYNC},
        {.rounds = 2},
        {.rounds = SGP_ROUNDS_AUTO},
        {.biased = true},
        {.encoding = SGP_ENCODING_INT8},
        {.encoding = SGP_ENCODING_INT4},
    };
    static const char *const texts[] = {
        "sgp and allreduce", "slow momentum", "osgp",    "osgp",   "sgp and dpsgd",
        "sgp and dpsgd",     "sgp and osgp",  "float16", "float16"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bad[i].algorithm = SGP_ALGORITHM_SERVER;
        bad[i].graph.size = 4;
        assert_int_equal(sgp_mixer_check(&bad[i]), SGP_ERR_INVALID);
        if (!strstr(sgp_last_error(), texts[i])) fail_msg("\"%s\"", sgp_last_error());
    }
}

static void refuse_steps(sgp_group_t *group, void *context) {
    float gradient[COUNT] = {0};
    sgp_optimizer_t *optimizer = NULL;
    sgp_mixer_t *mixer = NULL;
    (void)context;
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &server, NULL, &mixer) == SGP_OK);
    CHECK(sgp_mixer_step(mixer, optimizer, gradient, -1) == SGP_ERR_INVALID);
    CHECK(strstr(sgp_last_error(), "learning rate is -1") != NULL);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static void test_refused_rate(void **state) {
    (void)state;
    ranks_setup_t setup = delays(3, 5, MILLISECOND);
    run_groups(&setup, refuse_steps, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_node_is_sgd),
        cmocka_unit_test(test_one_worker_is_sgd),
        cmocka_unit_test(test_every_gradient_counts_once),
        cmocka_unit_test(test_on_threads),
        cmocka_unit_test(test_own_changes_and_buffers),
        cmocka_unit_test(test_switch_to_others),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_staleness),
        cmocka_unit_test(test_staleness_is_the_number_of_others),
        cmocka_unit_test(test_a_slow_node_delays_no_other),
        cmocka_unit_test(test_adding_between_steps),
        cmocka_unit_test(test_steps_of_all_kinds),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_refused_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
