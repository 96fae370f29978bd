/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints, and their exchange within one machine; ranks are threads. */
#include "ranks.h"

#include "group/join/launcher.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { WAIT_MS = 60000, MOST = 16 };

/* ---- endpoints ---- */

static sgp_endpoint_t an_endpoint(int rank, int size) {
    sgp_endpoint_t endpoint;
    assert_int_equal(sgp_endpoint_init(&endpoint, true), SGP_OK);
    endpoint.rank = rank;
    endpoint.size = size;
    endpoint.fingerprint = 77;
    endpoint.transport = SGP_CHOICE_TCP;
    snprintf(endpoint.address, sizeof endpoint.address, "[2001:db8::1]:65535");
    return endpoint;
}

static void test_endpoint_round_trip(void **state) {
    (void)state;
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    sgp_endpoint_t endpoint = an_endpoint(3, 8), back;
    sgp_endpoint_encode(&endpoint, bytes);
    assert_int_equal(sgp_endpoint_decode(bytes, &back), SGP_OK);
    assert_int_equal(back.rank, 3);
    assert_int_equal(back.size, 8);
    assert_true(back.run == endpoint.run && back.run != 0);
    assert_true(back.machine == sgp_endpoint_machine());
    assert_true(back.fingerprint == 77);
    assert_int_equal(back.transport, SGP_CHOICE_TCP);
    assert_string_equal(back.address, "[2001:db8::1]:65535");
    assert_string_equal(back.host, endpoint.host);
    assert_memory_equal(back.secret, endpoint.secret, sizeof endpoint.secret);
}

static void test_endpoint_as_text(void **state) {
    (void)state;
    char text[SGP_ENDPOINT_HEX];
    unsigned char bytes[2][SGP_ENDPOINT_BYTES];
    sgp_endpoint_t endpoint = an_endpoint(3, 8), back;
    sgp_endpoint_to_hex(&endpoint, text);
    assert_int_equal(strlen(text), SGP_ENDPOINT_HEX - 1);
    assert_int_equal(sgp_endpoint_of_hex(text, &back), SGP_OK);
    sgp_endpoint_encode(&endpoint, bytes[0]);
    sgp_endpoint_encode(&back, bytes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizeof bytes[0]);
    assert_int_equal(sgp_endpoint_of_hex(NULL, &back), SGP_ERR_FORMAT);
    assert_int_equal(sgp_endpoint_of_hex("", &back), SGP_ERR_FORMAT);
    text[0] = 'x';
    assert_int_equal(sgp_endpoint_of_hex(text, &back), SGP_ERR_FORMAT);
    text[0] = '5';
    text[SGP_ENDPOINT_HEX - 2] = '\0';
    assert_int_equal(sgp_endpoint_of_hex(text, &back), SGP_ERR_FORMAT);
}

/* An endpoint with any one bit flipped is refused. */
static void test_damaged_endpoints(void **state) {
    (void)state;
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    sgp_endpoint_t endpoint = an_endpoint(3, 8), back;
    sgp_endpoint_encode(&endpoint, bytes);
    for (size_t i = 0; i < 8 * sizeof bytes; i++) {
        bytes[i / 8] ^= (unsigned char)(1u << i % 8);
        assert_int_equal(sgp_endpoint_decode(bytes, &back), SGP_ERR_FORMAT);
        bytes[i / 8] ^= (unsigned char)(1u << i % 8);
    }
}

/* A field out of range is refused, whatever the hash. */
static void test_fields_out_of_range(void **state) {
    (void)state;
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    sgp_endpoint_t back;
    sgp_endpoint_t bad[] = {an_endpoint(8, 8), an_endpoint(-2, 8), an_endpoint(0, 0),
                            an_endpoint(0, 1), an_endpoint(0, 1),  an_endpoint(0, 1),
                            an_endpoint(0, 1)};
    bad[3].run = 0;
    bad[4].port = 65536;
    bad[5].transport = (sgp_transport_choice_t)(SGP_CHOICE_LAST + 1);
    snprintf(bad[6].host, sizeof bad[6].host, "a\033[2Jb");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sgp_endpoint_encode(&bad[i], bytes);
        assert_int_equal(sgp_endpoint_decode(bytes, &back), SGP_ERR_FORMAT);
    }
}

static void test_endpoints_that_do_not_fit(void **state) {
    (void)state;
    sgp_endpoint_t all[3] = {an_endpoint(0, 3), an_endpoint(1, 3), an_endpoint(2, 3)};
    assert_int_equal(sgp_endpoint_check_all(all, 3), SGP_OK);
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    all[2].size = 4;
    assert_int_equal(sgp_endpoint_check_all(all, 3), SGP_ERR_MISMATCH);
    assert_string_equal(ranks_last_error, "node 2 counts 4 nodes and node 0 counts 3");
    all[2] = an_endpoint(2, 3);
    snprintf(all[2].version, sizeof all[2].version, "9.9.9");
    assert_int_equal(sgp_endpoint_check_all(all, 3), SGP_ERR_MISMATCH);
    assert_non_null(strstr(ranks_last_error, "has sgp 9.9.9"));
    all[2] = an_endpoint(2, 3);
    all[2].transport = SGP_CHOICE_SHM;
    assert_int_equal(sgp_endpoint_check_all(all, 3), SGP_ERR_MISMATCH);
    all[2] = an_endpoint(1, 3);
    assert_int_equal(sgp_endpoint_check_all(all, 3), SGP_ERR_MISMATCH);
    sgp_log_set(NULL, NULL, 0);
}

/* ---- a group of threads ---- */

typedef struct member {
    pthread_t thread;
    sgp_group_options_t options;
    int expected; /* rank; -1: any */
    sgp_status_t status;
    int rank;
} member_t;

/* Joins and, if that succeeds, hears from all the others. */
static void *member_main(void *argument) {
    member_t *member = argument;
    sgp_group_t *group = NULL;
    member->rank = -1;
    member->status = sgp_group_join(&member->options, &group);
    if (member->status != SGP_OK) return NULL;
    int size = sgp_group_size(group), all[MOST];
    member->rank = sgp_group_rank(group);
    CHECK(size == member->options.size);
    CHECK(sgp_group_gather(group, &member->rank, sizeof member->rank, all) == SGP_OK);
    for (int r = 0; r < size; r++) CHECK(all[r] == r);
    CHECK(sgp_group_barrier(group) == SGP_OK);
    sgp_group_leave(group);
    return NULL;
}

static void run_members(member_t *members, int count) {
    atomic_store(&ranks_failures, 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(pthread_create(&members[i].thread, NULL, member_main, &members[i]), 0);
    for (int i = 0; i < count; i++) pthread_join(members[i].thread, NULL);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

/* Each rank occurs once. */
static void check_ranks(const member_t *members, int count) {
    unsigned seen = 0;
    for (int i = 0; i < count; i++) {
        assert_int_equal(members[i].status, SGP_OK);
        if (members[i].expected >= 0) assert_int_equal(members[i].rank, members[i].expected);
        seen |= 1u << members[i].rank;
    }
    assert_int_equal(seen, (1u << count) - 1);
}

/* ---- through a directory ---- */

static const char *const transports[] = {"tcp", "auto", "shm"};

static void test_directory(void **state) {
    (void)state;
    for (int count = 1; count <= 5; count++)
        for (size_t t = 0; t < 3; t++) {
            char directory[] = "/tmp/sgp-test-XXXXXX";
            member_t members[5];
            assert_non_null(mkdtemp(directory));
            for (int i = 0; i < count; i++)
                members[i] = (member_t){.expected = i,
                                        .options = {.rank = i,
                                                    .size = count,
                                                    .rendezvous = directory,
                                                    .interface = "127.0.0.1",
                                                    .transport = transports[t]}};
            run_members(members, count);
            check_ranks(members, count);
            assert_int_equal(rmdir(directory), 0); /* nothing is left in it */
        }
}

static sgp_status_t exchange(const char *directory, int wait_ms, sgp_endpoint_t *mine,
                             sgp_endpoint_t **all) {
    sgp_placement_t placement = {.launcher = &sgp_launcher_directory, .rendezvous = directory};
    sgp_deadline_t deadline = sgp_deadline_in(wait_ms);
    sgp_exchange_t with = {.placement = &placement, .deadline = &deadline};
    int listener = -1;
    return placement.launcher->exchange(&with, mine, &listener, all);
}

static void test_directory_rank_claimed_twice(void **state) {
    (void)state;
    char directory[] = "/tmp/sgp-test-XXXXXX";
    sgp_endpoint_t mine = an_endpoint(0, 2), *all = NULL;
    assert_non_null(mkdtemp(directory));
    char name[64];
    snprintf(name, sizeof name, "%s/card-0", directory);
    FILE *left = fopen(name, "w");
    assert_non_null(left);
    fclose(left);
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    assert_int_equal(exchange(directory, WAIT_MS, &mine, &all), SGP_ERR_INVALID);
    assert_non_null(strstr(ranks_last_error, "rank 0 is taken in"));
    unlink(name);
    assert_int_equal(exchange(directory, 20, &mine, &all), SGP_ERR_TIMEOUT);
    assert_string_equal(ranks_last_error, "node 1 of 2 did not come within 20 ms");
    sgp_log_set(NULL, NULL, 0);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(exchange(directory, WAIT_MS, &mine, &all), SGP_ERR_INVALID);
    assert_null(all);
}

/* ---- at HOST:PORT ---- */

/* A port that was free a moment ago. */
static int free_port(void) {
    sgp_address_t bound, published;
    int listener;
    assert_int_equal(sgp_address_listen("127.0.0.1", NULL, &listener, &bound, &published), SGP_OK);
    close(listener);
    return sgp_address_port(&bound);
}

static void set_up(member_t *members, int count, char at[64]) {
    snprintf(at, 64, "127.0.0.1:%d", free_port());
    for (int i = 0; i < count; i++)
        members[i] = (member_t){
            .expected = -1,
            .options = {.size = count, .join = at, .transport = "tcp", .join_timeout_ms = WAIT_MS}};
}

static void test_join_in_order_of_arrival(void **state) {
    (void)state;
    char at[64];
    for (int count = 1; count <= 8; count++)
        for (size_t t = 0; t < 3; t++) {
            member_t members[8];
            set_up(members, count, at);
            for (int i = 0; i < count; i++) members[i].options.transport = transports[t];
            run_members(members, count);
            check_ranks(members, count);
        }
}

/* A process that claims a rank gets it, whichever serves; the others get the ranks that are
 * left. */
static void test_join_with_ranks(void **state) {
    (void)state;
    char at[64];
    member_t members[6];
    set_up(members, 6, at);
    for (int i = 0; i < 3; i++) {
        members[i].options.claim_rank = true;
        members[i].expected = members[i].options.rank = 5 - 2 * i;
    }
    run_members(members, 6);
    check_ranks(members, 6);
}

static void test_join_with_a_key(void **state) {
    (void)state;
    char at[64];
    member_t members[3];
    set_up(members, 3, at);
    for (int i = 0; i < 3; i++) members[i].options.key = "the secret of this test";
    run_members(members, 3);
    check_ranks(members, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoint_round_trip),
        cmocka_unit_test(test_endpoint_as_text),
        cmocka_unit_test(test_damaged_endpoints),
        cmocka_unit_test(test_fields_out_of_range),
        cmocka_unit_test(test_endpoints_that_do_not_fit),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_directory_rank_claimed_twice),
        cmocka_unit_test(test_join_in_order_of_arrival),
        cmocka_unit_test(test_join_with_ranks),
        cmocka_unit_test(test_join_with_a_key),
    };
    return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
