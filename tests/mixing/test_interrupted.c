/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that return while they wait (slices, interrupts) and are made again: the same bits as calls that do not. */
#include "mixing/trial.h"

enum { LENGTH = 300, STEPS = 12, SIZE = 5 };

typedef struct run {
    sgp_mixer_options_t options;
    sgp_mixer_options_t then; /* from half of the steps on; count 0: no switch */
    int slice_ms;             /* 0: none */
    bool interrupts;
    pthread_mutex_t lock; /* of: */
    sgp_group_t *groups[SIZE];
    float z[SIZE][LENGTH]; /* at the end */
    float mean[SIZE][LENGTH];
    atomic_int left; /* times that a call returned in the middle */
} run_t;

static void interrupt(run_t *run, int rank) {
    pthread_mutex_lock(&run->lock);
    if (run->groups[rank]) sgp_group_interrupt(run->groups[rank]);
    pthread_mutex_unlock(&run->lock);
}

static void set_group(run_t *run, int rank, sgp_group_t *group) {
    pthread_mutex_lock(&run->lock);
    run->groups[rank] = group;
    pthread_mutex_unlock(&run->lock);
}

/* Makes a call until it is done. */
#define AGAIN(run, call)                                                                           \
    do {                                                                                           \
        sgp_status_t status_;                                                                      \
        int tries_ = 0;                                                                            \
        while ((status_ = (call)) == SGP_ERR_AGAIN || status_ == SGP_ERR_INTERRUPTED) {            \
            atomic_fetch_add(&(run)->left, 1);                                                     \
            if (++tries_ > 1000000) break;                                                         \
        }                                                                                          \
        CHECK(status_ == SGP_OK);                                                                  \
    } while (0)

static void body(sgp_group_t *group, void *context) {
    run_t *run = context;
    int rank = sgp_group_rank(group);
    float gradient[LENGTH], initial[LENGTH];
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = LENGTH}, &optimizer) == SGP_OK);
    for (int i = 0; i < LENGTH; i++) initial[i] = (float)(rank + i % 3);
    sgp_group_set_slice(group, run->slice_ms);
    set_group(run, rank, group);
    AGAIN(run, sgp_mixer_create(group, &run->options, initial, &mixer));
    for (int k = 0; k < STEPS; k++) {
        const float *z = sgp_mixer_parameters(mixer);
        for (int i = 0; i < LENGTH; i++) gradient[i] = z[i] - target_of(rank);
        if (run->interrupts) interrupt(run, rank), interrupt(run, (rank + 1) % SIZE);
        AGAIN(run, sgp_mixer_step(mixer, optimizer, gradient, LR));
        if (run->then.count && k == STEPS / 2) AGAIN(run, sgp_mixer_switch(mixer, &run->then));
    }
    AGAIN(run, sgp_mixer_average(mixer, run->mean[rank], NULL));
    memcpy(run->z[rank], sgp_mixer_parameters(mixer), sizeof run->z[rank]);
    set_group(run, rank, NULL); /* no rank interrupts a group that has been left */
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static const sgp_mixer_options_t settings[] = {
    {.algorithm = SGP_ALGORITHM_SGP},
    {.algorithm = SGP_ALGORITHM_SGP, .graph = {.kind = SGP_GRAPH_COMPLETE}},
    {.algorithm = SGP_ALGORITHM_SGP, .encoding = SGP_ENCODING_BFLOAT16, .local_steps = 2},
    {.algorithm = SGP_ALGORITHM_SGP, .slow_every = 3, .slow_momentum = 0.5f},
    {.algorithm = SGP_ALGORITHM_SGP, .rounds = 3},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 3, .encoding = SGP_ENCODING_FLOAT16},
    {.algorithm = SGP_ALGORITHM_DPSGD, .graph = {.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL}},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = SGP_ENCODING_BFLOAT16},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE,
     .encoding = SGP_ENCODING_INT4,
     .local_steps = 2,
     .outer_lr = 0.7f,
     .outer_momentum = 0.8f},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static void set_up(run_t *run, int setting, int slice_ms) {
    memset(run, 0, sizeof *run);
    pthread_mutex_init(&run->lock, NULL);
    run->options = settings[setting];
    run->options.count = LENGTH;
    run->slice_ms = slice_ms;
    if (setting == 0) { /* also a switch */
        run->then = settings[8];
        run->then.count = LENGTH;
    }
}

/* Messages take up to 20 ms of virtual time, a slice 1 ms. */
static void test_slices_change_no_bit(void **state) {
    (void)state;
    static run_t whole, sliced;
    ranks_setup_t setup = delays(SIZE, 7, 20 * MILLISECOND);
    for (int s = 0; s < SETTINGS; s++) {
        set_up(&whole, s, 0);
        run_groups(&setup, body, &whole);
        assert_int_equal(whole.left, 0);
        set_up(&sliced, s, 1);
        run_groups(&setup, body, &sliced);
        assert_true(sliced.left > 100);
        assert_memory_equal(whole.z, sliced.z, sizeof whole.z);
        assert_memory_equal(whole.mean, sliced.mean, sizeof whole.mean);
    }
}

/* Pairs average in the order in which they meet, so the bits are the run's own; the mean is not. */
static void test_slices_keep_the_mean_of_pairs(void **state) {
    (void)state;
    static run_t run;
    ranks_setup_t setup = delays(SIZE, 8, 20 * MILLISECOND);
    set_up(&run, 0, 1);
    run.options.algorithm = SGP_ALGORITHM_ADPSGD;
    run.options.graph.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL;
    run.then.count = 0;
    run_groups(&setup, body, &run);
    assert_true(run.left > 0);
    for (int r = 1; r < SIZE; r++) assert_memory_equal(run.mean[0], run.mean[r], sizeof *run.mean);
}

/* Before each call a rank interrupts itself and the next rank, which may be asleep. */
static void test_interrupts_change_no_bit(void **state) {
    (void)state;
    static run_t whole, broken;
    ranks_setup_t setups[] = {threads(SIZE, true), threads(SIZE, false)};
    for (int s = 0; s < SETTINGS * 2; s++) {
        set_up(&whole, s / 2, 0);
        run_groups(&setups[s % 2], body, &whole);
        set_up(&broken, s / 2, 0);
        broken.interrupts = true;
        run_groups(&setups[s % 2], body, &broken);
        assert_true(broken.left > 0);
        assert_memory_equal(whole.z, broken.z, sizeof whole.z);
        assert_memory_equal(whole.mean, broken.mean, sizeof whole.mean);
    }
}

/* ---- calls in the middle ---- */

static void leave_in_the_middle(sgp_group_t *group, void *context) {
    const ranks_setup_t *setup = context;
    sgp_mixer_t *mixer = NULL;
    float gradient[LENGTH] = {0};
    CHECK(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = LENGTH}, NULL, &mixer) == SGP_OK);
    if (sgp_group_rank(group) == 0) { /* the other one never steps */
        sgp_group_set_slice(group, 1);
        uint64_t start = sgp_transport_now(sgp_group_transport(group));
        for (int i = 0; i < 5; i++)
            CHECK(sgp_mixer_step(mixer, NULL, gradient, 0) == SGP_ERR_AGAIN);
        uint64_t took = sgp_transport_now(sgp_group_transport(group)) - start;
        CHECK(!setup->loopback.virtual_time || took == 5 * MILLISECOND); /* one slice each */
        CHECK(sgp_mixer_average(mixer, NULL, NULL) == SGP_ERR_INVALID);
        CHECK(strstr(sgp_last_error(), "sgp_mixer_step is in the middle") != NULL);
        CHECK(sgp_group_barrier(group) == SGP_ERR_INVALID);
        sgp_mixer_statistics_t statistics;
        sgp_mixer_statistics(mixer, &statistics);
        CHECK(statistics.steps == 0);
        sgp_mixer_destroy(mixer);
        sgp_group_set_slice(group, 0);
    } else {
        sgp_mixer_destroy(mixer);
    }
    CHECK(sgp_group_barrier(group) == SGP_OK);
}

static void test_a_step_that_is_given_up(void **state) {
    (void)state;
    ranks_setup_t setups[] = {delays(2, 3, MILLISECOND), threads(2, true)};
    for (int s = 0; s < 2; s++) run_groups(&setups[s], leave_in_the_middle, &setups[s]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_change_no_bit),
        cmocka_unit_test(test_slices_keep_the_mean_of_pairs),
        cmocka_unit_test(test_interrupts_change_no_bit),
        cmocka_unit_test(test_a_step_that_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
