/* SPDX-License-Identifier: Apache-2.0 */
/* The contract over TCP, over both IPs, and mixed with shared memory; then the faults of a network:
 * peers that die, fall silent or are refused. test_traffic.c has those that send nonsense. */
#include "ranks.h"

static int machines;
static bool six;
static const sgp_key_t *group_key;
static sgp_encryption_t encryption;

#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .tcp = true, .machines = machines, .six = six, .key = group_key, .encryption = encryption, \
        .loopback = {                                                                              \
            .size = (ranks),                                                                       \
            .chunk_bytes = 256                                                                     \
        }                                                                                          \
    }
#include "transport/conformance.h"
#include "transport/strangers.h"

/* ---- death ---- */

/* Chunks that arrived before a rank died are still received. */
static void sends_and_dies(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_destination_t to = {1 - transport->rank, 1};
    sgp_chunk_t chunk;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    if (transport->rank == 0) {
        CHECK(send_vector(transport, &to, 1, 0, ELEMENTS));
        CHECK(receive_chunk(transport, &chunk)); /* rank 1 has received all */
        sgp_transport_destroy(transport);
        return;
    }
    sgp_chunk_t held[16];
    int count = 0;
    while (count < 16 && receive_chunk(transport, &held[count])) count++;
    CHECK(send_vector(transport, &to, 1, 0, 16));
    CHECK(sgp_transport_wait(transport, sgp_transport_now(transport) + FAR) == SGP_ERR_PEER_LOST);
    for (int i = 0; i < count; i++) {
        check_payload(&held[i]);
        sgp_transport_release(transport, &held[i]);
    }
    finish(transport);
}

static void test_death_leaves_what_has_arrived(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(2);
    run_transports(&setup, sends_and_dies, NULL);
}

/* ---- the scheduler ---- */

enum { LONG = 1 << 16 }; /* elements; more than is read at once */

static void receive_from(sgp_transport_t *transport, int src, size_t elements) {
    sgp_chunk_t chunk;
    for (size_t got = 0; got < elements && receive_chunk(transport, &chunk);) {
        CHECK(chunk.header.src == src);
        check_payload(&chunk);
        got += chunk.header.elements;
        sgp_transport_release(transport, &chunk);
    }
}

/* Sends a message of step 1 to rank 0, and stops after its first chunk until rank 0 sends one. */
static void stop_in_the_middle(sgp_transport_t *transport) {
    sgp_header_t header = {.kind = SGP_KIND_PUSH,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = 7,
                           .step = 1,
                           .count = LONG};
    sgp_destination_t to = {0, 1};
    sgp_send_t send;
    CHECK(sgp_transport_send_begin(transport, &header, &to, 1, &send) == SGP_OK);
    for (float *place; (place = sgp_transport_send_next(transport, &send));) {
        size_t offset = send.header.offset;
        for (size_t i = 0; i < send.header.elements; i++) place[i] = value_of(1, 1, offset + i);
        sgp_transport_send_commit(transport, &send);
        if (offset == 0) receive_from(transport, 0, 16);
    }
}

/* A later message is held while an earlier one is under way, but not once that one has stopped. */
static void one_stops(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_destination_t first = {1, 1}, second = {2, 1}, receiver = {0, 1};
    CHECK(sgp_transport_prepare(transport, LONG * sizeof(float), 2) == SGP_OK);
    if (transport->rank == 0) {
        sgp_chunk_t chunk;
        CHECK(receive_chunk(transport, &chunk) && chunk.header.src == 1);
        CHECK(send_vector(transport, &second, 1, 0, 16));
        receive_from(transport, 2, LONG);
        CHECK(send_vector(transport, &first, 1, 0, 16));
        receive_from(transport, 1, LONG - chunk.header.elements);
        sgp_transport_release(transport, &chunk);
    } else if (transport->rank == 1) {
        stop_in_the_middle(transport);
    } else {
        receive_from(transport, 0, 16);
        CHECK(send_vector(transport, &receiver, 1, 2, LONG));
    }
    finish(transport);
}

static void test_one_stops(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(3);
    run_transports(&setup, one_stops, NULL);
}

/* ---- peers played by the test ---- */

/* A peer that falls silent on an open connection is lost after the time limit. */
static void test_silence(void **state) {
    (void)state;
    stranger_t stranger = meet_stranger(NULL, 200);
    int connection = answer(&stranger);
    uint64_t start = sgp_transport_now(stranger.transport);
    assert_int_equal(sgp_transport_wait(stranger.transport, start + FAR), SGP_ERR_PEER_LOST);
    assert_true(sgp_transport_now(stranger.transport) - start >= 100000000u);
    check_loss(&stranger, SGP_CAUSE_SILENT, "it has been silent for 0.");
    close(connection);
    end_stranger(&stranger);
}

/* The time limit for opening a connection, not that for silence, holds until the handshake is over;
 * a peer that hangs up is called again. */
static void test_slow_to_open(void **state) {
    (void)state;
    stranger_t stranger = meet_stranger(NULL, 100);
    uint64_t start = sgp_transport_now(stranger.transport);
    for (int i = 0; i < 30; i++) close(take_call(&stranger));
    int silent = take_call(&stranger);
    uint64_t until = sgp_transport_now(stranger.transport) + 400000000u;
    assert_true(until > start + 1000000000u);
    assert_int_equal(sgp_transport_wait(stranger.transport, until), SGP_ERR_TIMEOUT);
    close(silent);
    close(answer(&stranger));
    assert_int_equal(sgp_transport_wait(stranger.transport, start + FAR), SGP_ERR_PEER_LOST);
    check_loss(&stranger, SGP_CAUSE_CLOSED, "connection");
    end_stranger(&stranger);
}

/* A caller that is no member is refused and told why; no rank is lost by that. */
static void refuses(const sgp_hello_t *hello, const char *reason) {
    stranger_t stranger = meet_stranger(NULL, 0);
    int connection = call(&stranger.theirs);
    sgp_handshake_t handshake;
    sgp_handshake_init(&handshake, true, hello, NULL);
    assert_int_equal(shake(connection, &handshake), SGP_HANDSHAKE_REFUSED);
    assert_non_null(strstr(handshake.reason, reason));
    assert_int_equal(
        sgp_transport_wait(stranger.transport, sgp_transport_now(stranger.transport) + 1000000u),
        SGP_ERR_TIMEOUT);
    assert_int_equal(sgp_transport_lost_peer(stranger.transport), -1);
    close(connection);
    end_stranger(&stranger);
}

static void test_refusals(void **state) {
    (void)state;
    sgp_hello_t hello = rank_1;
    hello.run = 18;
    refuses(&hello, "another run");
    hello = rank_1, hello.size = 3;
    refuses(&hello, "it counts 3 processes, and here are 2");
    hello = rank_1, hello.rank = 0;
    refuses(&hello, "rank 0 has no business here");
    hello = rank_1, hello.rank = 2;
    refuses(&hello, "rank 2 has no business here");
    hello = rank_1, hello.fingerprint = 512;
    refuses(&hello, "its chunks have 512 bytes, and here 256");
    hello = rank_1, hello.purpose = SGP_PURPOSE_JOIN, hello.rank = -1;
    refuses(&hello, "the group is full: all 2 processes have come");
}

static void test_one_rank_one_caller(void **state) {
    (void)state;
    stranger_t stranger = meet_stranger(NULL, 0);
    int first = call(&stranger.theirs), second = call(&stranger.theirs);
    sgp_handshake_t handshake;
    sgp_handshake_init(&handshake, true, &rank_1, NULL);
    assert_int_equal(shake(first, &handshake), SGP_HANDSHAKE_DONE);
    sgp_handshake_init(&handshake, true, &rank_1, NULL);
    assert_int_equal(shake(second, &handshake), SGP_HANDSHAKE_REFUSED);
    assert_string_equal(handshake.reason, "a second node claims rank 1");
    close(first);
    close(second);
    end_stranger(&stranger);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_struck_off),
        cmocka_unit_test(test_death_leaves_what_has_arrived),
        cmocka_unit_test(test_one_stops),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_slow_to_open),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_one_rank_one_caller),
        cmocka_unit_test(test_too_much_room),
        cmocka_unit_test(test_many_chunks),
    };
    int failed = run_conformance();
    machines = 2; /* some ranks share memory, others do not */
    failed += run_conformance();
    machines = 0;
    six = true;
    failed += run_conformance();
    six = false;
    static const sgp_key_t shared = {{1, 2, 3}};
    group_key = &shared;
    for (encryption = SGP_ENCRYPTION_ON; encryption <= SGP_ENCRYPTION_OFF; encryption++)
        failed += run_conformance();
    group_key = NULL;
    encryption = SGP_ENCRYPTION_AUTO;
    return failed + cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}
