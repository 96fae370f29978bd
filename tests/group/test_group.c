/* SPDX-License-Identifier: Apache-2.0 */
#include "ranks.h"

#include <string.h>

static void gather(sgp_group_t *group, void *context) {
    (void)context;
    int size = sgp_group_size(group), rank = sgp_group_rank(group);
    for (int round = 0; round < 5; round++) {
        int mine[3] = {rank, round, rank * round}, all[64][3];
        CHECK(sgp_group_gather(group, mine, sizeof mine, all) == SGP_OK);
        for (int r = 0; r < size; r++)
            CHECK(all[r][0] == r && all[r][1] == round && all[r][2] == r * round);
        CHECK(sgp_group_barrier(group) == SGP_OK);
    }
    CHECK(sgp_group_lost_peer(group) == -1);
}

static void for_all_transports(int size, void (*body)(sgp_group_t *, void *), void *context) {
    ranks_setup_t setups[] = {
        {.loopback = {.size = size, .chunk_bytes = 64}},
        {.loopback = {.size = size,
                      .chunk_bytes = 64,
                      .virtual_time = true,
                      .delay_max_ns = 1000000,
                      .seed = 9}},
        {.shm = true, .loopback = {.size = size}},
    };
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++)
        run_groups(&setups[i], body, context);
}

static void test_gather_and_barrier(void **state) {
    (void)state;
    for (int size = 1; size <= 6; size++) for_all_transports(size, gather, NULL);
}

/* Nobody passes a barrier before all have reached it. */
static void barrier(sgp_group_t *group, void *context) {
    atomic_int *arrived = context;
    for (int round = 1; round <= 20; round++) {
        atomic_fetch_add(arrived, 1);
        CHECK(sgp_group_barrier(group) == SGP_OK);
        CHECK(atomic_load(arrived) >= round * sgp_group_size(group));
    }
}

static void test_barrier_holds(void **state) {
    (void)state;
    for (int size = 2; size <= 4; size++) {
        ranks_setup_t setups[] = {{.loopback = {.size = size}},
                                  {.shm = true, .loopback = {.size = size}}};
        for (size_t i = 0; i < 2; i++) {
            atomic_int arrived = 0;
            run_groups(&setups[i], barrier, &arrived);
        }
    }
}

/* A node that never comes to the barrier: the others give up at their time deadline, in virtual time.
 */
static void silent(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_group_t *group = NULL;
    CHECK(sgp_group_create(transport, 3000, &group) == SGP_OK);
    if (transport->rank == 2) sgp_transport_wait(transport, (uint64_t)10 * 1000000000u);
    else {
        CHECK(sgp_group_barrier(group) == SGP_ERR_TIMEOUT);
        CHECK(sgp_transport_now(transport) == (uint64_t)3 * 1000000000u);
    }
    sgp_group_leave(group);
}

static void test_silent_node(void **state) {
    (void)state;
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    ranks_setup_t setup = {.loopback = {.size = 3, .virtual_time = true}};
    run_transports(&setup, silent, NULL);
    assert_string_equal(ranks_last_error, "gave up waiting for node 2 in a collective call");
    sgp_log_set(NULL, NULL, 0);
}

/* A node that ends without leaving: the others learn which. */
static void dies(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_group_t *group = NULL;
    if (transport->rank == 1) {
        sgp_transport_destroy(transport);
        return;
    }
    CHECK(sgp_group_create(transport, 0, &group) == SGP_OK);
    CHECK(sgp_group_barrier(group) == SGP_ERR_PEER_LOST);
    CHECK(sgp_group_lost_peer(group) == 1);
    sgp_group_leave(group);
}

static void test_lost_node(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 3}};
    run_transports(&setup, dies, NULL);
}

static void different_sizes(sgp_group_t *group, void *context) {
    (void)context;
    char mine[8] = {0}, all[2][8];
    size_t bytes = sgp_group_rank(group) == 0 ? 4 : 8;
    CHECK(sgp_group_gather(group, mine, bytes, all) == SGP_ERR_MISMATCH);
}

static void test_gather_refuses(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 2}};
    run_groups(&setup, different_sizes, NULL);
}

static void test_alone_without_launcher(void **state) {
    (void)state;
    unsetenv("SGP_RANK");
    unsetenv("SGP_SIZE");
    sgp_group_t *group = NULL;
    assert_int_equal(sgp_group_join(&(sgp_group_options_t){0}, &group), SGP_OK);
    assert_int_equal(sgp_group_rank(group), 0);
    assert_int_equal(sgp_group_size(group), 1);
    assert_int_equal(sgp_group_barrier(group), SGP_OK);
    char byte = 7, back = 0;
    assert_int_equal(sgp_group_gather(group, &byte, 1, &back), SGP_OK);
    assert_int_equal(back, 7);
    assert_int_equal(sgp_group_gather(group, &byte, 0, &back), SGP_ERR_INVALID);
    assert_int_equal(sgp_group_gather(group, &byte, 65537, &back), SGP_ERR_INVALID);
    sgp_group_leave(group);
    sgp_group_leave(NULL);
}

static void test_bad_environment(void **state) {
    (void)state;
    sgp_group_t *group = NULL;
    setenv("SGP_RANK", "0", 1);
    setenv("SGP_SIZE", "two", 1);
    assert_int_equal(sgp_group_join(&(sgp_group_options_t){0}, &group), SGP_ERR_INVALID);
    setenv("SGP_SIZE", "2", 1);
    unsetenv("SGP_RENDEZVOUS");
    assert_int_equal(sgp_group_join(&(sgp_group_options_t){0}, &group), SGP_ERR_INVALID);
    setenv("SGP_RANK", "2", 1);
    setenv("SGP_RENDEZVOUS", "/tmp", 1);
    assert_int_equal(sgp_group_join(&(sgp_group_options_t){0}, &group), SGP_ERR_INVALID);
    assert_null(group);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather_and_barrier), cmocka_unit_test(test_barrier_holds),
        cmocka_unit_test(test_silent_node),        cmocka_unit_test(test_lost_node),
        cmocka_unit_test(test_gather_refuses),     cmocka_unit_test(test_alone_without_launcher),
        cmocka_unit_test(test_bad_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
