/* SPDX-License-Identifier: Apache-2.0 */
/* Gather, barrier and broadcast on every transport; ranks are threads. */
#include "ranks.h"

#include <string.h>

/* ---- gather and barrier ---- */

static void gather(sgp_group_t *group, void *context) {
    (void)context;
    int size = sgp_group_size(group), rank = sgp_group_rank(group);
    for (int call = 0; call < 5; call++) {
        int mine[3] = {rank, call, rank * call}, all[64][3];
        CHECK(sgp_group_gather(group, mine, sizeof mine, all) == SGP_OK);
        for (int r = 0; r < size; r++)
            CHECK(all[r][0] == r && all[r][1] == call && all[r][2] == r * call);
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

/* No rank passes a barrier before all have reached it. */
static void barrier(sgp_group_t *group, void *context) {
    atomic_int *arrived = context;
    for (int call = 1; call <= 20; call++) {
        atomic_fetch_add(arrived, 1);
        CHECK(sgp_group_barrier(group) == SGP_OK);
        CHECK(atomic_load(arrived) >= call * sgp_group_size(group));
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

/* A node that does not come to the barrier, nor leave: the others give up at their time limit, in virtual time. */
static void silent(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_group_t *group = NULL;
    CHECK(sgp_group_create(transport, 3000, &group) == SGP_OK);
    uint64_t later = (uint64_t)10 * 1000000000u;
    if (transport->rank == 2) {
        sgp_transport_lock(transport);
        while (sgp_transport_now(transport) < later) sgp_transport_pause(transport, later);
        sgp_transport_unlock(transport);
    } else {
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
    assert_string_equal(ranks_last_error,
                        "gave up waiting for the message of a collective call from node 2");
    sgp_log_set(NULL, NULL, 0);
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

/* ---- broadcast ---- */

/* Byte i of broadcast `call` of a root. */
static unsigned char byte_of(int root, int call, size_t i) {
    uint32_t mixed = (uint32_t)(i * 2654435761u) ^ (uint32_t)(root * 40503 + call * 977);
    return (unsigned char)(mixed >> 13);
}

/* From `root`: it alone has the bytes before, and every rank after. Bytes behind `count` stay. */
static void broadcast_from(sgp_group_t *group, int root, int call, size_t count) {
    bool own = sgp_group_rank(group) == root;
    unsigned char *bytes = malloc(count + 1);
    memset(bytes, 0xee, count + 1);
    for (size_t i = 0; own && i < count; i++) bytes[i] = byte_of(root, call, i);
    CHECK(sgp_group_broadcast(group, bytes, count, root) == SGP_OK);
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) wrong += bytes[i] != byte_of(root, call, i);
    CHECK(wrong == 0);
    CHECK(bytes[count] == 0xee);
    free(bytes);
}

/* Counts at the edges of a chunk of 64 bytes, and many times what may be under way. */
static void broadcast(sgp_group_t *group, void *context) {
    static const size_t counts[] = {0, 1, 63, 64, 65, 20000};
    (void)context;
    for (int root = 0; root < sgp_group_size(group); root++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            broadcast_from(group, root, (int)c, counts[c]);
    int rank = sgp_group_rank(group), all[9];
    CHECK(sgp_group_gather(group, &rank, sizeof rank, all) == SGP_OK);
    for (int r = 0; r < sgp_group_size(group); r++) CHECK(all[r] == r);
}

static void test_broadcast(void **state) {
    (void)state;
    for (int size = 1; size <= 9; size++) {
        for_all_transports(size, broadcast, NULL);
        ranks_setup_t shm = {.shm = true, .loopback = {.size = size, .chunk_bytes = 64}};
        ranks_setup_t tcp = {.tcp = true, .loopback = {.size = size, .chunk_bytes = 64}};
        run_groups(&shm, broadcast, NULL);
        if (size > 1) run_groups(&tcp, broadcast, NULL);
    }
}

/* Several times the window, in chunks of the default size. */
static void broadcast_much(sgp_group_t *group, void *context) {
    (void)context;
    broadcast_from(group, 1, 0, ((size_t)24 << 20) + 5);
}

static void test_large_broadcast(void **state) {
    (void)state;
    ranks_setup_t setups[] = {{.shm = true, .loopback = {.size = 3}},
                              {.tcp = true, .loopback = {.size = 3}},
                              {.tcp = true, .machines = 2, .loopback = {.size = 4}}};
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++)
        run_groups(&setups[i], broadcast_much, NULL);
}

/* Every rank sees that the terms differ, no byte changes, and the next call works. */
static void different_terms(sgp_group_t *group, void *context) {
    (void)context;
    unsigned char bytes[100];
    int size = sgp_group_size(group), rank = sgp_group_rank(group);
    memset(bytes, rank, sizeof bytes);
    CHECK(sgp_group_broadcast(group, bytes, rank == 1 ? 99 : 100, 0) == SGP_ERR_MISMATCH);
    CHECK(sgp_group_broadcast(group, bytes, 100, rank == 2) == SGP_ERR_MISMATCH);
    CHECK(sgp_group_broadcast(group, bytes, 100, -1) == SGP_ERR_INVALID);
    CHECK(sgp_group_broadcast(group, bytes, 100, size) == SGP_ERR_INVALID);
    for (size_t i = 0; i < sizeof bytes; i++) CHECK(bytes[i] == rank);
    broadcast_from(group, 2, 0, 1000);
}

static void test_broadcast_refuses(void **state) {
    (void)state;
    for_all_transports(3, different_terms, NULL);
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    run_groups(&(ranks_setup_t){.loopback = {.size = 3}}, different_terms, NULL);
    assert_non_null(strstr(ranks_last_error, "broadcast: root is rank 3 of 3"));
    sgp_log_set(NULL, NULL, 0);
}

/* A rank in the middle of the chain ends: the others do not wait for it. */
static void middle_ends(sgp_transport_t *transport, void *context) {
    (void)context;
    enum { COUNT = 1 << 20 };
    sgp_group_t *group = NULL;
    unsigned char *bytes = calloc(COUNT, 1);
    CHECK(sgp_group_create(transport, 0, &group) == SGP_OK);
    if (transport->rank == 2) sgp_group_abort(group);
    else {
        CHECK(sgp_group_broadcast(group, bytes, COUNT, 0) == SGP_ERR_PEER_LOST);
        CHECK(sgp_group_lost_peer(group) == 2);
        sgp_group_leave(group);
    }
    free(bytes);
}

static void test_broadcast_with_a_loss(void **state) {
    (void)state;
    ranks_setup_t setups[] = {{.loopback = {.size = 4, .chunk_bytes = 64}},
                              {.shm = true, .loopback = {.size = 4, .chunk_bytes = 64}},
                              {.tcp = true, .loopback = {.size = 4, .chunk_bytes = 64}}};
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++)
        run_transports(&setups[i], middle_ends, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather_and_barrier), cmocka_unit_test(test_barrier_holds),
        cmocka_unit_test(test_silent_node),        cmocka_unit_test(test_gather_refuses),
        cmocka_unit_test(test_broadcast),          cmocka_unit_test(test_large_broadcast),
        cmocka_unit_test(test_broadcast_refuses),  cmocka_unit_test(test_broadcast_with_a_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
