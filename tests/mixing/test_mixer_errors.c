/* SPDX-License-Identifier: Apache-2.0 */
/* The errors of a mixer: lost messages and nodes, vectors that do not fit, options out of range. */
#include "small_mixers.h"

#include <string.h>

/* The node that gives up leaves, which ends the other one's wait. */
static void lossy(sgp_group_t *group, void *context) {
    atomic_int *timeouts = context;
    sgp_mixer_t *mixer =
        make_mixer(group, &(sgp_mixer_options_t){.count = LENGTH, .timeout_ms = 2000});
    sgp_status_t status = SGP_OK;
    for (int step = 0; step < 100 && status == SGP_OK; step++)
        status = sgp_mixer_step(mixer, NULL, NULL, 0);
    bool late = status == SGP_ERR_TIMEOUT;
    CHECK(strstr(sgp_last_error(), late ? "gave up waiting for the message of step" : "has left"));
    if (late) atomic_fetch_add(timeouts, 1);
    sgp_mixer_destroy(mixer);
}

static void test_a_lost_message_is_a_timeout(void **state) {
    (void)state;
    ranks_setup_t setup = reordering(2, 1);
    setup.loopback.loss = 0.1;
    atomic_int timeouts = 0;
    run_groups(&setup, lossy, &timeouts);
    assert_in_range(timeouts, 1, 2);
}

static atomic_int mismatches;

/* No step begins after a loss, also with an algorithm that waits for no node. */
static void steps_after_a_loss(sgp_transport_t *transport, void *context) {
    const sgp_mixer_options_t *options = context;
    sgp_group_t *group = NULL;
    if (transport->rank == 2) {
        sgp_transport_destroy(transport);
        return;
    }
    CHECK(sgp_group_create(transport, 0, &group) == SGP_OK);
    sgp_mixer_t *mixer = make_mixer(group, options);
    CHECK(sgp_transport_wait(transport, sgp_transport_now(transport) + (uint64_t)60000000000u) ==
          SGP_ERR_PEER_LOST);
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_ERR_PEER_LOST);
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_ERR_PEER_LOST);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
}

static void count_lines(sgp_log_level_t level, int rank, const char *line, void *user) {
    atomic_int *lines = user;
    (void)level, (void)rank;
    CHECK(strstr(line, "node 2 is lost (") != NULL);
    atomic_fetch_add(lines, 1);
}

/* Each of the two logs it once, from the agent or from a step. */
static void lose_a_rank(sgp_mixer_options_t options) {
    ranks_setup_t setup = {.loopback = {.size = 3, .chunk_bytes = 64}};
    atomic_int lines = 0;
    sgp_log_set(count_lines, &lines, SGP_LOG_WARNING);
    run_transports(&setup, steps_after_a_loss, &options);
    sgp_log_set(NULL, NULL, 0);
    assert_int_equal(atomic_load(&lines), 2);
}

static void test_no_step_after_a_loss(void **state) {
    (void)state;
    static const sgp_algorithm_t algorithms[] = {SGP_ALGORITHM_SGP, SGP_ALGORITHM_ADPSGD,
                                                 SGP_ALGORITHM_DPSGD};
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        lose_a_rank((sgp_mixer_options_t){.count = LENGTH, .algorithm = algorithms[i]});
    lose_a_rank((sgp_mixer_options_t){.count = LENGTH, .overlap = SGP_OVERLAP_ASYNC});
}

static void other_length(sgp_group_t *group, void *context) {
    sgp_mixer_options_t options = {.count = LENGTH - (size_t)sgp_group_rank(group),
                                   .algorithm = *(sgp_algorithm_t *)context,
                                   .timeout_ms = 2000};
    sgp_mixer_t *mixer = make_mixer(group, &options);
    /* The node that sees it reports it, and leaves; the other may wait for a message that is not sent. */
    sgp_status_t status = sgp_mixer_step(mixer, NULL, NULL, 0);
    CHECK(status == SGP_ERR_MISMATCH || status == SGP_ERR_PEER_LOST);
    if (status == SGP_ERR_MISMATCH) atomic_fetch_add(&mismatches, 1);
    sgp_mixer_destroy(mixer);
}

static void test_vectors_of_different_length(void **state) {
    (void)state;
    for (int a = 0; a < 2; a++) {
        sgp_algorithm_t algorithm = a ? SGP_ALGORITHM_ALLREDUCE : SGP_ALGORITHM_SGP;
        ranks_setup_t setup = {.loopback = {.size = 2}};
        atomic_store(&mismatches, 0);
        run_groups(&setup, other_length, &algorithm);
        assert_in_range(atomic_load(&mismatches), 1, 2);
    }
}

static void bad_options(sgp_group_t *group, void *context) {
    (void)context;
    sgp_mixer_t *mixer = NULL;
    const sgp_mixer_options_t bad[] = {
        {.count = 0},
        {.count = 5, .algorithm = (sgp_algorithm_t)99},
        {.count = 5, .timeout_ms = -1},
        {.count = 5, .graph = {.size = 3}},
        {.count = 5, .graph = {.peers = 2}},
        {.count = SIZE_MAX / 4},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(sgp_mixer_create(group, &bad[i], NULL, &mixer) == SGP_ERR_INVALID && !mixer);
    mixer = make_mixer(group, &(sgp_mixer_options_t){.count = LENGTH});
    sgp_optimizer_t *optimizer = make_optimizer(LENGTH - 1, 0);
    float gradient[LENGTH] = {0};
    CHECK(sgp_mixer_step(mixer, optimizer, gradient, 0.1f) == SGP_ERR_INVALID);
    sgp_optimizer_destroy(optimizer);
    optimizer = make_optimizer(LENGTH, 0);
    CHECK(sgp_mixer_step(mixer, optimizer, NULL, 0.1f) == SGP_ERR_INVALID);
    CHECK(sgp_mixer_step(mixer, optimizer, gradient, 0.1f) == SGP_OK);
    sgp_optimizer_destroy(optimizer);
    sgp_mixer_destroy(mixer);
    sgp_mixer_destroy(NULL);
}

static void test_bad_options(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 2}};
    run_groups(&setup, bad_options, NULL);
}

/* Programs that were compiled with the headers of another version. */
static void other_versions(sgp_group_t *group, void *context) {
    struct {
        sgp_mixer_options_t options;
        double later;
    } newer = {.options = {.count = LENGTH}};
    sgp_mixer_t *mixer = NULL;
    (void)context;
    CHECK(sgp_mixer_create_sized(group, &newer.options, 20, NULL, &mixer) == SGP_ERR_INVALID);
    CHECK(strstr(sgp_last_error(), "mixer options: a struct of 20 bytes") != NULL);
    newer.later = 0.5;
    CHECK(sgp_mixer_create_sized(group, &newer.options, sizeof newer, NULL, &mixer) ==
          SGP_ERR_INVALID);
    CHECK(strstr(sgp_last_error(), "needs a newer libsgp") != NULL && !mixer);
    newer.later = 0;
    CHECK(sgp_mixer_create_sized(group, &newer.options, sizeof newer, NULL, &mixer) == SGP_OK);
    sgp_mixer_options_t then = {.count = LENGTH, .overlap = 1, .algorithm = SGP_ALGORITHM_OSGP};
    CHECK(sgp_mixer_switch_sized(mixer, &then, 1 << 20) == SGP_ERR_INVALID);
    sgp_mixer_consensus_t consensus;
    CHECK(sgp_mixer_average_sized(mixer, NULL, &consensus, 7) == SGP_ERR_INVALID);
    CHECK(sgp_mixer_average(mixer, NULL, &consensus) == SGP_OK); /* it goes on */
    CHECK(consensus.w_total == 2);
    sgp_mixer_destroy(mixer);
}

static void test_other_versions(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 2}};
    run_groups(&setup, other_versions, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lost_message_is_a_timeout),
        cmocka_unit_test(test_no_step_after_a_loss),
        cmocka_unit_test(test_vectors_of_different_length),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_other_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
