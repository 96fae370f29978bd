/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation in making, joining and splitting a group fails once. */
#include "failing_alloc.h"
#include "ranks.h"

#include "group/agree_call.h"
#include "group/group_status.h"
#include "group/join/exchange_address.h"
#include "group/status_take.h"
#include "group/view.h"

#include <sgp/group.h>
#include <string.h>

enum { WAIT_MS = 60000, AGAIN_MS = 500 };

static void test_create(void **state) {
    (void)state;
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_loopback_t *hub = NULL;
        sgp_group_t *group = NULL;
        assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = 3}, &hub), SGP_OK);
        sgp_status_t status =
            FAILING(&failing, sgp_group_create(sgp_loopback_transport(hub, 0), WAIT_MS, &group));
        assert_true((status == SGP_OK) == (group != NULL));
        sgp_group_leave(group);
        sgp_loopback_destroy(hub);
    }
}

/* A group that has no memory for it stays as it was, and calls of an elastic one allocate nothing. */
static void test_become_elastic(void **state) {
    (void)state;
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_group_t *group = NULL;
        assert_int_equal(sgp_group_join(&(sgp_group_options_t){.size = 1}, &group), SGP_OK);
        sgp_status_t status = FAILING(&failing, sgp_group_become_elastic(group));
        assert_true((status == SGP_OK) == (sgp_group_agreement(group) != NULL));
        failing_on(&failing);
        assert_int_equal(sgp_group_barrier(group), SGP_OK);
        failing_off(&failing);
        sgp_group_leave(group);
    }
}

static void test_status(void **state) {
    (void)state;
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_loopback_t *hub = NULL;
        sgp_group_t *group = NULL;
        sgp_status_snapshot_t snapshot = {.members = 0};
        assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = 3}, &hub), SGP_OK);
        assert_int_equal(sgp_group_create(sgp_loopback_transport(hub, 0), WAIT_MS, &group), SGP_OK);
        sgp_status_t status = FAILING(&failing, sgp_group_status_attach(group, false));
        assert_true((status == SGP_OK) == (sgp_group_status(group) != NULL));
        if (status == SGP_OK)
            status = FAILING(&failing, sgp_group_status_want(sgp_group_status(group)));
        if (status == SGP_OK)
            status = FAILING(&failing, sgp_group_status_take(sgp_group_status(group), &snapshot));
        assert_int_equal(snapshot.members, status == SGP_OK ? 3 : 0);
        sgp_group_status_release(&snapshot);
        sgp_group_leave(group);
        sgp_loopback_destroy(hub);
    }
}

static void test_view(void **state) {
    (void)state;
    static const int capacities[] = {4, 65536}; /* small blocks of memory, and large ones */
    for (int i = 0; i < 2; i++) {
        failing_t failing = {0};
        while (failing_round(&failing)) {
            sgp_view_t *view = NULL;
            sgp_status_t status = FAILING(&failing, sgp_view_create(capacities[i], 2, &view));
            assert_true((status == SGP_OK) == (view != NULL));
            sgp_view_destroy(view);
        }
    }
}

/* ---- a broadcast between two ranks, of which one has no memory ---- */

enum { COUNT = 1 << 20 };

typedef struct receiver {
    pthread_t thread;
    const char *directory;
    sgp_status_t status;
} receiver_t;

static sgp_group_t *join_in(const char *directory, int rank) {
    sgp_group_t *group = NULL;
    sgp_group_options_t options = {
        .rank = rank, .size = 2, .rendezvous = directory, .join_timeout_ms = WAIT_MS};
    sgp_group_join(&options, &group);
    return group;
}

static void *receive_broadcast(void *argument) {
    receiver_t *receiver = argument;
    sgp_group_t *group = join_in(receiver->directory, 1);
    unsigned char *bytes = calloc(COUNT, 1);
    receiver->status = sgp_group_broadcast(group, bytes, COUNT, 0);
    if (receiver->status == SGP_OK) assert_int_equal(bytes[COUNT - 1], 7);
    free(bytes);
    sgp_group_leave(group);
    return NULL;
}

/* A root that fails before the first byte tells the other rank; one that fails later aborts. */
static void test_broadcast(void **state) {
    (void)state;
    static unsigned char bytes[COUNT];
    failing_t failing = {.may_pass = true};
    memset(bytes, 7, sizeof bytes);
    while (failing_round(&failing)) {
        char directory[] = "/tmp/sgp-test-XXXXXX";
        assert_non_null(mkdtemp(directory));
        receiver_t receiver = {.directory = directory};
        assert_int_equal(pthread_create(&receiver.thread, NULL, receive_broadcast, &receiver), 0);
        sgp_group_t *group = join_in(directory, 0);
        assert_non_null(group);
        sgp_status_t status = FAILING(&failing, sgp_group_broadcast(group, bytes, COUNT, 0));
        if (status == SGP_OK) sgp_group_leave(group);
        else sgp_group_abort(group);
        pthread_join(receiver.thread, NULL);
        assert_true(status != SGP_OK || receiver.status == SGP_OK);
        assert_int_equal(rmdir(directory), 0);
    }
}

/* ---- a group of one: no other process waits ---- */

static void join_alone(sgp_group_options_t options) {
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_group_t *group = NULL;
        sgp_status_t status = FAILING(&failing, sgp_group_join(&options, &group));
        assert_true((status == SGP_OK) == (group != NULL));
        sgp_group_leave(group);
    }
}

/* After a split that failed the group is as it was. */
static void split_alone(sgp_group_options_t options) {
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_group_t *group = NULL, *nodes = NULL, *workers = NULL;
        assert_int_equal(sgp_group_join(&options, &group), SGP_OK);
        sgp_status_t status = FAILING(&failing, sgp_group_split(group, 1, &nodes, &workers));
        assert_true((status == SGP_OK) == (nodes != NULL && workers != NULL));
        assert_true(status == SGP_OK || (!nodes && !workers));
        assert_int_equal(sgp_group_barrier(group), SGP_OK);
        if (status != SGP_OK) assert_int_equal(sgp_group_split(group, 1, &nodes, &workers), SGP_OK);
        sgp_group_leave(nodes);
        sgp_group_leave(workers);
        sgp_group_leave(group);
    }
}

static void duplicate_alone(sgp_group_options_t options) {
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_group_t *group = NULL, *copy = NULL;
        assert_int_equal(sgp_group_join(&options, &group), SGP_OK);
        sgp_status_t status = FAILING(&failing, sgp_group_duplicate(group, &copy));
        assert_true((status == SGP_OK) == (copy != NULL));
        assert_int_equal(sgp_group_barrier(group), SGP_OK);
        if (status != SGP_OK) assert_int_equal(sgp_group_duplicate(group, &copy), SGP_OK);
        sgp_group_leave(group);
        assert_int_equal(sgp_group_barrier(copy), SGP_OK);
        sgp_group_leave(copy);
    }
}

/* Its thread. */
static void descriptor_alone(sgp_group_options_t options) {
    failing_t failing = {0};
    sgp_group_t *group = NULL;
    assert_int_equal(sgp_group_join(&options, &group), SGP_OK);
    while (failing_round(&failing)) {
        int descriptor = -1;
        sgp_status_t status = FAILING(
            &failing, (descriptor = sgp_group_descriptor(group)) < 0 ? SGP_ERR_NO_MEMORY : SGP_OK);
        assert_true((status == SGP_OK) == (descriptor >= 0));
    }
    sgp_group_leave(group);
}

static void test_alone(void **state) {
    (void)state;
    char at[SGP_ADDRESS_TEXT];
    ranks_free_address(at);
    static const char *const transports[] = {"shm", "tcp", "auto"};
    join_alone((sgp_group_options_t){.size = 1});
    split_alone((sgp_group_options_t){.size = 1});
    duplicate_alone((sgp_group_options_t){.size = 1});
    descriptor_alone((sgp_group_options_t){.size = 1});
    for (size_t i = 0; i < sizeof transports / sizeof *transports; i++) {
        sgp_group_options_t options = {.size = 1,
                                       .join = at,
                                       .transport = transports[i],
                                       .interface = ranks_own_host(),
                                       .join_timeout_ms = WAIT_MS};
        join_alone(options);
        split_alone(options);
        duplicate_alone(options);
    }
}

/* ---- endpoints ---- */

static sgp_endpoint_t an_endpoint(int size) {
    sgp_endpoint_t endpoint;
    assert_int_equal(sgp_endpoint_init(&endpoint, true), SGP_OK);
    endpoint.rank = 0;
    endpoint.size = size;
    endpoint.transport = SGP_CHOICE_TCP;
    snprintf(endpoint.address, sizeof endpoint.address, "127.0.0.1:9");
    return endpoint;
}

static void test_exchange_in_a_directory(void **state) {
    (void)state;
    char directory[] = "/tmp/sgp-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_endpoint_t mine = an_endpoint(1), *all = NULL;
        sgp_placement_t placement = {.launcher = &sgp_launcher_directory, .rendezvous = directory};
        sgp_deadline_t deadline = sgp_deadline_in(WAIT_MS);
        sgp_exchange_t with = {.placement = &placement, .deadline = &deadline};
        int listener = -1;
        sgp_status_t status =
            FAILING(&failing, placement.launcher->exchange(&with, &mine, &listener, &all));
        assert_true((status == SGP_OK) == (all != NULL));
        free(all);
    }
    assert_int_equal(rmdir(directory), 0); /* nothing is left in it */
}

/* One of two processes that join at `at`. */
typedef struct member {
    const char *at;
    sgp_join_role_t role;
    int wait_ms;
    sgp_endpoint_t *all;
    pthread_t thread;
    atomic_bool ended;
} member_t;

static sgp_status_t meet(member_t *member) {
    sgp_placement_t placement = {.role = member->role};
    sgp_deadline_t deadline = sgp_deadline_in(member->wait_ms);
    sgp_exchange_t with = {.placement = &placement, .deadline = &deadline};
    snprintf(placement.at, sizeof placement.at, "%s", member->at);
    sgp_endpoint_t mine = an_endpoint(2);
    int listener = -1;
    mine.rank = -1;
    sgp_status_t status = sgp_exchange_address(&with, &mine, &listener, &member->all);
    if (listener >= 0) close(listener);
    return status;
}

static void *meet_in_thread(void *argument) {
    member_t *member = argument;
    meet(member);
    atomic_store(&member->ended, true);
    return NULL;
}

/* One of two members runs out of memory, and tries again as long as the other waits for it. A
 * server without memory for a client closes its connection, and goes on. */
static void meet_again(sgp_join_role_t role) {
    failing_t failing = {.may_pass = role == SGP_JOIN_ROLE_SERVER};
    while (failing_round(&failing)) {
        char at[SGP_ADDRESS_TEXT];
        ranks_free_address(at);
        member_t one = {.at = at, .role = role, .wait_ms = WAIT_MS};
        member_t other = {.at = at, .wait_ms = WAIT_MS};
        other.role = role == SGP_JOIN_ROLE_SERVER ? SGP_JOIN_ROLE_CLIENT : SGP_JOIN_ROLE_SERVER;
        assert_int_equal(pthread_create(&other.thread, NULL, meet_in_thread, &other), 0);
        sgp_status_t status = FAILING(&failing, meet(&one));
        assert_true((status == SGP_OK) == (one.all != NULL));
        one.wait_ms = AGAIN_MS;
        while (!one.all && !atomic_load(&other.ended)) meet(&one);
        pthread_join(other.thread, NULL);
        free(one.all);
        free(other.all);
    }
    assert_true(failing.round > 2);
}

static void test_client_calls_again(void **state) {
    (void)state;
    meet_again(SGP_JOIN_ROLE_CLIENT);
}

static void test_server_serves_again(void **state) {
    (void)state;
    meet_again(SGP_JOIN_ROLE_SERVER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_become_elastic),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_view),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_exchange_in_a_directory),
        cmocka_unit_test(test_client_calls_again),
        cmocka_unit_test(test_server_serves_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
