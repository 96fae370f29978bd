/* SPDX-License-Identifier: Apache-2.0 */
#include "ranks.h"

#include "base/constants.h"

#include <string.h>

/* ---- endings ---- */

enum { GONE = 1, WAIT_MS = 60000 };

/* The others lose a rank that ends without leaving, and learn which it is; a call that waits ends
 * at once. */
static void hear_of_loss(sgp_group_t *group, void *context) {
    (void)context;
    sgp_fates_t *fates = sgp_group_transport(group)->fates;
    sgp_status_t status = SGP_OK;
    while (status == SGP_OK) status = sgp_group_barrier(group);
    CHECK(status == SGP_ERR_PEER_LOST);
    CHECK(sgp_group_lost_peer(group) == GONE);
    CHECK(sgp_fates_of(fates, GONE).state == SGP_FATE_LOST);
}

static void dies(sgp_transport_t *transport, void *context) {
    sgp_group_t *group = NULL;
    if (transport->rank == GONE) {
        sgp_transport_destroy(transport);
        return;
    }
    CHECK(sgp_group_create(transport, WAIT_MS, &group) == SGP_OK);
    hear_of_loss(group, context);
    sgp_group_leave(group);
}

static void aborts(sgp_transport_t *transport, void *context) {
    sgp_group_t *group = NULL;
    CHECK(sgp_group_create(transport, WAIT_MS, &group) == SGP_OK);
    if (transport->rank == GONE) {
        CHECK(sgp_group_barrier(group) == SGP_OK);
        sgp_group_abort(group); /* and what it sent to the barrier may be lost with it */
        return;
    }
    hear_of_loss(group, context);
    sgp_group_leave(group);
}

/* Counts the ranks that hear the reason. */
static void aborts_with_reason(sgp_transport_t *transport, void *context) {
    atomic_int *heard = context;
    sgp_group_t *group = NULL;
    sgp_event_t event = {0};
    CHECK(sgp_group_create(transport, WAIT_MS, &group) == SGP_OK);
    CHECK(sgp_group_barrier(group) == SGP_OK || transport->rank != GONE);
    if (transport->rank == GONE) {
        sgp_group_abort(group);
        return;
    }
    uint64_t end = sgp_transport_now(transport) + WAIT_MS * SGP_MILLISECOND;
    while (event.kind != SGP_EVENT_LOST && sgp_transport_now(transport) < end)
        if (sgp_group_next_event(group, &event) == SGP_ERR_AGAIN)
            sgp_transport_wait(transport, sgp_transport_now(transport) + SGP_MILLISECOND);
    CHECK(event.kind == SGP_EVENT_LOST && event.rank == GONE);
    if (strstr(event.reason, "it aborted")) atomic_fetch_add(heard, 1);
    sgp_group_leave(group);
}

/* Over tcp the reason can get lost with the connection, if the rank has not read all that was sent to it. */
static void test_the_reason_of_an_abort(void **state) {
    (void)state;
    atomic_int heard = 0;
    run_transports(&(ranks_setup_t){.shm = true, .loopback = {.size = 3}}, aborts_with_reason,
                   &heard);
    assert_int_equal(heard, 2);
    heard = 0;
    for (int i = 0; i < 20; i++)
        run_transports(&(ranks_setup_t){.tcp = true, .loopback = {.size = 3}}, aborts_with_reason,
                       &heard);
    assert_true(heard > 0);
}

/* A rank that has left in order is not lost. */
static void leaves(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_group_t *group = NULL;
    CHECK(sgp_group_create(transport, WAIT_MS, &group) == SGP_OK);
    CHECK(sgp_group_barrier(group) == SGP_OK);
    while (transport->rank != GONE &&
           sgp_fates_of(transport->fates, GONE).state == SGP_FATE_PRESENT)
        sgp_transport_wait(transport, sgp_transport_now(transport) + SGP_MILLISECOND);
    CHECK(sgp_group_lost_peer(group) == -1);
    sgp_group_leave(group);
}

static void for_all_transports(void (*body)(sgp_transport_t *, void *)) {
    ranks_setup_t setups[] = {{.loopback = {.size = 3}},
                              {.loopback = {.size = 3, .virtual_time = true}},
                              {.shm = true, .loopback = {.size = 3}},
                              {.tcp = true, .loopback = {.size = 3}},
                              {.tcp = true, .machines = 2, .loopback = {.size = 4}}};
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++)
        run_transports(&setups[i], body, NULL);
}

static void test_endings(void **state) {
    (void)state;
    for_all_transports(dies);
    for_all_transports(aborts);
    for_all_transports(leaves);
    sgp_group_abort(NULL);
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
        cmocka_unit_test(test_endings),
        cmocka_unit_test(test_the_reason_of_an_abort),
        cmocka_unit_test(test_alone_without_launcher),
        cmocka_unit_test(test_bad_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
