/* SPDX-License-Identifier: Apache-2.0 */
/* The contract over TCP, over both IPs, and mixed with shared memory; then the faults of a network:
 * peers that die, fall silent, lie, or send damaged chunks. */
#include "ranks.h"
#include "shake.h"

#include "transport/tcp/chunk_pool.h"
#include "transport/tcp/frame.h"
#include "transport/tcp/scheduler.h"

#include <xxhash.h>

static int machines;
static bool six;

#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .tcp = true, .machines = machines, .six = six, .loopback = {                               \
            .size = (ranks),                                                                       \
            .chunk_bytes = 256                                                                     \
        }                                                                                          \
    }
#include "transport/conformance.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

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

/* ---- a peer played by the test, which may break the protocol ---- */

typedef struct stranger {
    int listener;
    sgp_address_t address, theirs;
    sgp_transport_t *transport; /* rank 0 of 2 or 3; the stranger plays all others */
} stranger_t;

static stranger_t meet_strangers(int size, const sgp_key_t *key, int peer_timeout_ms) {
    stranger_t stranger;
    sgp_address_t bound, addresses[3];
    int listener;
    assert_int_equal(
        sgp_address_listen("127.0.0.1", NULL, &stranger.listener, &bound, &stranger.address),
        SGP_OK);
    assert_int_equal(sgp_address_listen("127.0.0.1", NULL, &listener, &bound, &stranger.theirs),
                     SGP_OK);
    addresses[0] = stranger.theirs;
    addresses[1] = addresses[2] = stranger.address;
    sgp_tcp_options_t options = {.rank = 0,
                                 .size = size,
                                 .run = 17,
                                 .listener = listener,
                                 .addresses = addresses,
                                 .key = key,
                                 .chunk_bytes = CHUNK,
                                 .timeout_ms = 60000,
                                 .peer_timeout_ms = peer_timeout_ms,
                                 .at_once = true};
    assert_int_equal(sgp_tcp_connect(&options, &stranger.transport), SGP_OK);
    return stranger;
}

static stranger_t meet_stranger(const sgp_key_t *key, int peer_timeout_ms) {
    return meet_strangers(2, key, peer_timeout_ms);
}

static int call(const sgp_address_t *address) {
    int made = socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), room = 4096;
    assert_true(made >= 0);
    assert_int_equal(setsockopt(made, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    assert_int_equal(connect(made, (const struct sockaddr *)&address->at, address->length), 0);
    return made;
}

static const sgp_hello_t rank_1 = {.purpose = SGP_PURPOSE_LINK,
                                   .rank = 1,
                                   .size = 2,
                                   .run = 17,
                                   .fingerprint = CHUNK,
                                   .version = "test"};

/* The connection that rank 0 opens to watch the next rank. */
static int take_call(const stranger_t *stranger) {
    struct pollfd readable = {.fd = stranger->listener, .events = POLLIN};
    assert_int_equal(poll(&readable, 1, 60000), 1);
    int connection = accept4(stranger->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(connection >= 0);
    return connection;
}

/* Takes it, and answers as rank 1. */
static int answer(const stranger_t *stranger) {
    int connection = take_call(stranger);
    sgp_handshake_t handshake;
    sgp_handshake_init(&handshake, false, &rank_1, NULL);
    assert_int_equal(shake(connection, &handshake), SGP_HANDSHAKE_DONE);
    return connection;
}

/* Rank 1 is lost, for that reason. */
static void check_loss(const stranger_t *stranger, sgp_cause_t cause, const char *why) {
    char text[128];
    assert_int_equal(sgp_transport_lost_peer(stranger->transport), 1);
    assert_int_equal(sgp_fates_of(stranger->transport->fates, 1).cause, cause);
    assert_non_null(strstr(sgp_fates_why(stranger->transport->fates, 1, text, sizeof text), why));
}

static void end_stranger(stranger_t *stranger) {
    sgp_transport_destroy(stranger->transport);
    close(stranger->listener);
    sgp_log_set(NULL, NULL, 0);
}

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

/* ---- chunks ---- */

static int send_chunk(int connection, const sgp_header_t *header, const float *payload,
                      uint32_t ticket) {
    unsigned char head[SGP_FRAME_BYTES + SGP_HEADER_BYTES];
    sgp_frame_encode(SGP_FRAME_CHUNK, ticket, head);
    sgp_header_encode(header, head + SGP_FRAME_BYTES);
    size_t bytes = header->elements * sizeof *payload;
    assert_int_equal(send(connection, head, sizeof head, MSG_NOSIGNAL), sizeof head);
    return send(connection, payload, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

/* The next frame that is no heartbeat. */
static sgp_frame_kind_t read_frame(int connection, uint32_t *value) {
    sgp_frame_kind_t kind = SGP_FRAME_ALIVE;
    while (kind == SGP_FRAME_ALIVE) {
        unsigned char bytes[SGP_FRAME_BYTES];
        assert_int_equal(recv(connection, bytes, sizeof bytes, MSG_WAITALL), sizeof bytes);
        assert_true(sgp_frame_decode(bytes, &kind, value));
    }
    return kind;
}

static int call_as(const stranger_t *stranger, int rank) {
    int connection = call(&stranger->theirs);
    sgp_handshake_t handshake;
    sgp_hello_t hello = rank_1;
    hello.rank = rank;
    hello.size = stranger->transport->size;
    sgp_handshake_init(&handshake, true, &hello, NULL);
    assert_int_equal(shake(connection, &handshake), SGP_HANDSHAKE_DONE);
    return connection;
}

static int call_as_rank_1(const stranger_t *stranger) {
    return call_as(stranger, 1);
}

static sgp_header_t header_of(const float *payload, uint32_t elements) {
    return (sgp_header_t){.kind = SGP_KIND_PUSH,
                          .encoding = SGP_ENCODING_FLOAT32,
                          .src = 1,
                          .run = 17,
                          .id = 1,
                          .weight = 0.5,
                          .count = elements,
                          .elements = elements,
                          .payload_hash = XXH3_64bits(payload, elements * sizeof *payload)};
}

/* A damaged chunk is counted, asked for again and never received; its repetition is. */
static void test_damaged_chunk_comes_again(void **state) {
    (void)state;
    float payload[CHUNK / sizeof(float)] = {1, 2, 3}, damaged[CHUNK / sizeof(float)] = {1, 2, 4};
    sgp_header_t header = header_of(payload, CHUNK / sizeof(float));
    stranger_t stranger = meet_stranger(NULL, 0);
    int connection = call_as_rank_1(&stranger);
    uint32_t ticket = 0;
    sgp_chunk_t chunk;
    assert_true(send_chunk(connection, &header, damaged, 5));
    assert_int_equal(read_frame(connection, &ticket), SGP_FRAME_REPEAT);
    assert_int_equal(ticket, 5);
    assert_int_equal(sgp_transport_receive(stranger.transport, &chunk), SGP_ERR_AGAIN);
    assert_int_equal(atomic_load(&stranger.transport->counters.refused), 1);
    assert_true(send_chunk(connection, &header, payload, 5));
    assert_true(receive_chunk(stranger.transport, &chunk));
    assert_memory_equal(chunk.payload, payload, sizeof payload);
    assert_true(chunk.header.weight == 0.5);
    sgp_transport_release(stranger.transport, &chunk);
    assert_int_equal(read_frame(connection, &ticket), SGP_FRAME_RELEASED);
    assert_int_equal(ticket, 5);
    close(connection);
    end_stranger(&stranger);
}

/* The sender's side: a chunk that is asked for again is sent again, with the same bytes. */
static void test_repeats_what_is_asked_for(void **state) {
    (void)state;
    stranger_t stranger = meet_stranger(NULL, 0);
    int connection = answer(&stranger);
    sgp_destination_t to = {1, 0.25};
    assert_int_equal(sgp_transport_prepare(stranger.transport, CHUNK, 1), SGP_OK);
    assert_true(send_vector(stranger.transport, &to, 1, 3, CHUNK / sizeof(float)));
    unsigned char bytes[2][SGP_FRAME_BYTES + SGP_HEADER_BYTES + CHUNK];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(recv(connection, bytes[i], sizeof bytes[i], MSG_WAITALL), sizeof bytes[i]);
        unsigned char frame[SGP_FRAME_BYTES];
        sgp_frame_kind_t kind;
        uint32_t ticket;
        assert_true(sgp_frame_decode(bytes[i], &kind, &ticket));
        assert_int_equal(kind, SGP_FRAME_CHUNK);
        sgp_frame_encode(i == 0 ? SGP_FRAME_REPEAT : SGP_FRAME_RELEASED, ticket, frame);
        assert_int_equal(send(connection, frame, sizeof frame, MSG_NOSIGNAL), sizeof frame);
    }
    assert_memory_equal(bytes[0], bytes[1], sizeof bytes[0]);
    assert_int_equal(atomic_load(&stranger.transport->counters.resent), 1);
    close(connection);
    end_stranger(&stranger);
}

static void await_loss(const stranger_t *stranger, const char *why) {
    assert_int_equal(
        sgp_transport_wait(stranger->transport, sgp_transport_now(stranger->transport) + FAR),
        SGP_ERR_PEER_LOST);
    check_loss(stranger, SGP_CAUSE_NONSENSE, why);
}

/* A chunk that comes damaged repeatedly is asked for three times; then its sender is lost. Damage
 * to a chunk that has come whole since does not count. */
static void test_always_damaged(void **state) {
    (void)state;
    float payload[CHUNK / sizeof(float)] = {1, 2, 3}, damaged[CHUNK / sizeof(float)] = {1, 2, 4};
    sgp_header_t header = header_of(payload, CHUNK / sizeof(float));
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    stranger_t stranger = meet_stranger(NULL, 0);
    int connection = call_as_rank_1(&stranger);
    uint32_t ticket = 0;
    for (int healed = 0; healed < 2; healed++) {
        for (int times = 0; times < 3; times++) {
            assert_true(send_chunk(connection, &header, damaged, 5));
            assert_int_equal(read_frame(connection, &ticket), SGP_FRAME_REPEAT);
            assert_int_equal(ticket, 5);
        }
        if (healed == 0) assert_true(send_chunk(connection, &header, payload, 5));
    }
    assert_true(send_chunk(connection, &header, damaged, 5));
    sgp_chunk_t chunk;
    assert_true(receive_chunk(stranger.transport, &chunk));
    assert_memory_equal(chunk.payload, payload, sizeof payload);
    sgp_transport_release(stranger.transport, &chunk);
    await_loss(&stranger, "a chunk of it came damaged 4 times");
    assert_int_equal(sgp_transport_receive(stranger.transport, &chunk), SGP_ERR_AGAIN);
    assert_int_equal(atomic_load(&stranger.transport->counters.refused), 7);
    close(connection);
    end_stranger(&stranger);
}

/* The sender's side: no chunk is sent a fifth time. */
static void test_asks_too_often(void **state) {
    (void)state;
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    stranger_t stranger = meet_stranger(NULL, 0);
    int connection = answer(&stranger);
    sgp_destination_t to = {1, 0.25};
    assert_int_equal(sgp_transport_prepare(stranger.transport, CHUNK, 1), SGP_OK);
    assert_true(send_vector(stranger.transport, &to, 1, 3, CHUNK / sizeof(float)));
    for (int times = 0; times < 4; times++) {
        unsigned char bytes[SGP_FRAME_BYTES + SGP_HEADER_BYTES + CHUNK], frame[SGP_FRAME_BYTES];
        assert_int_equal(recv(connection, bytes, sizeof bytes, MSG_WAITALL), sizeof bytes);
        sgp_frame_kind_t kind;
        uint32_t ticket;
        assert_true(sgp_frame_decode(bytes, &kind, &ticket) && kind == SGP_FRAME_CHUNK);
        sgp_frame_encode(SGP_FRAME_REPEAT, ticket, frame);
        assert_int_equal(send(connection, frame, sizeof frame, MSG_NOSIGNAL), sizeof frame);
    }
    await_loss(&stranger, "it asked too often for a chunk");
    assert_int_equal(atomic_load(&stranger.transport->counters.resent), 3);
    close(connection);
    end_stranger(&stranger);
}

/* ---- turns ---- */

static void say(int connection, sgp_frame_kind_t kind, uint32_t value) {
    unsigned char frame[SGP_FRAME_BYTES];
    sgp_frame_encode(kind, value, frame);
    assert_int_equal(send(connection, frame, sizeof frame, MSG_NOSIGNAL), sizeof frame);
}

/* While a message of several chunks arrives, the other senders are told in advance to hold those of
 * other steps; when it has come, all may send. */
static void test_tells_whose_turn_it_is(void **state) {
    (void)state;
    float payload[CHUNK / sizeof(float)] = {1, 2, 3};
    sgp_header_t header = header_of(payload, CHUNK / sizeof(float));
    header.count *= 2;
    header.step = 5;
    stranger_t stranger = meet_strangers(3, NULL, 0);
    int sender = call_as(&stranger, 1), other = call_as(&stranger, 2);
    uint32_t turn = 0;
    assert_true(send_chunk(sender, &header, payload, 0));
    assert_int_equal(read_frame(other, &turn), SGP_FRAME_TURN);
    assert_int_equal(turn, sgp_turn_of_step(5));
    assert_int_not_equal(turn, sgp_turn_of_step(6));
    header.offset = CHUNK / sizeof(float);
    assert_true(send_chunk(sender, &header, payload, 1));
    for (int i = 0; i < 100 && turn; i++)
        assert_int_equal(read_frame(other, &turn), SGP_FRAME_TURN);
    assert_int_equal(turn, 0);
    close(sender);
    close(other);
    end_stranger(&stranger);
}

/* The sender's side: heartbeats come instead of a message that is held; then the message. */
static void test_waits_for_its_turn(void **state) {
    (void)state;
    stranger_t stranger = meet_stranger(NULL, 2000);
    int connection = answer(&stranger);
    sgp_destination_t to = {1, 0.25};
    assert_int_equal(sgp_transport_prepare(stranger.transport, CHUNK, 2), SGP_OK);
    say(connection, SGP_FRAME_TURN, sgp_turn_of_step(99));
    unsigned char bytes[SGP_FRAME_BYTES];
    sgp_frame_kind_t kind;
    uint32_t value;
    for (int i = 0; i < 2; i++) { /* the second heartbeat is later than the turn */
        assert_int_equal(recv(connection, bytes, sizeof bytes, MSG_WAITALL), sizeof bytes);
        say(connection, SGP_FRAME_ALIVE, 0);
    }
    assert_true(send_vector(stranger.transport, &to, 1, 3, 2 * CHUNK / sizeof(float)));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(recv(connection, bytes, sizeof bytes, MSG_WAITALL), sizeof bytes);
        assert_true(sgp_frame_decode(bytes, &kind, &value));
        assert_int_equal(kind, SGP_FRAME_ALIVE);
        say(connection, SGP_FRAME_ALIVE, 0);
    }
    say(connection, SGP_FRAME_TURN, sgp_turn_of_step(3));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(read_frame(connection, &value), SGP_FRAME_CHUNK);
        char rest[SGP_HEADER_BYTES + CHUNK];
        assert_int_equal(recv(connection, rest, sizeof rest, MSG_WAITALL), sizeof rest);
        say(connection, SGP_FRAME_RELEASED, value);
    }
    close(connection);
    end_stranger(&stranger);
}

/* Chunks of a message are queued by offset, and messages in the order of their posting; a chunk that
 * comes when another message has begun is last. */
static void test_order_of_chunks(void **state) {
    (void)state;
    static const struct {
        uint64_t id, offset;
    } posted[] = {{1, 8}, {1, 4}, {1, 0}, {1, 9}, {2, 6}, {2, 2}, {2, 4}, {1, 5}},
      expected[] = {{1, 0}, {1, 4}, {1, 8}, {1, 9}, {2, 2}, {2, 4}, {2, 6}, {1, 5}};
    enum { COUNT = sizeof posted / sizeof *posted };
    sgp_post_t posts[COUNT] = {0};
    sgp_post_list_t list;
    list.first = NULL;
    list.last = &list.first;
    for (int i = 0; i < COUNT; i++) {
        posts[i].header.id = posted[i].id;
        posts[i].header.offset = posted[i].offset;
        sgp_post_list_insert(&list, &posts[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        const sgp_post_t *next = sgp_post_list_pop(&list);
        assert_int_equal(next->header.id, expected[i].id);
        assert_int_equal(next->header.offset, expected[i].offset);
    }
    assert_null(sgp_post_list_pop(&list));
}

/* ---- a flood ---- */

/* Sends chunks of unknown steps and channels until the connection ends. */
static void *flood(void *argument) {
    int connection = *(int *)argument;
    float payload[CHUNK / sizeof(float)] = {7};
    sgp_header_t header = header_of(payload, CHUNK / sizeof(float));
    for (header.step = 0;; header.step++) {
        unsigned char chunk[SGP_FRAME_BYTES + SGP_HEADER_BYTES + CHUNK];
        header.channel = (uint32_t)header.step % 3 + 1000;
        sgp_frame_encode(SGP_FRAME_CHUNK, (uint32_t)header.step, chunk);
        sgp_header_encode(&header, chunk + SGP_FRAME_BYTES);
        memcpy(chunk + SGP_FRAME_BYTES + SGP_HEADER_BYTES, payload, CHUNK);
        if (send(connection, chunk, sizeof chunk, MSG_NOSIGNAL) != sizeof chunk) return NULL;
    }
}

/* A rank may hold as many places here as this rank has promised for its own messages, and no more
 * until it releases some; the chunks of others arrive meanwhile. */
static void test_a_flood_delays_no_other_rank(void **state) {
    (void)state;
    enum { MESSAGES = 100 };
    stranger_t stranger = meet_strangers(3, NULL, 0);
    assert_int_equal(sgp_transport_prepare(stranger.transport, CHUNK, MESSAGES), SGP_OK);
    size_t most = (size_t)stranger.transport->promised;
    assert_true(most >= MESSAGES);
    int hostile = call_as(&stranger, 1), honest = call_as(&stranger, 2);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, flood, &hostile), 0);
    sgp_chunk_t *held = calloc(most, sizeof *held), chunk;
    for (size_t i = 0; i < most; i++) {
        assert_true(receive_chunk(stranger.transport, &held[i]));
        assert_int_equal(held[i].header.src, 1);
    }
    float payload[CHUNK / sizeof(float)] = {1, 2, 3};
    sgp_header_t header = header_of(payload, CHUNK / sizeof(float));
    header.src = 2;
    for (int i = 0; i < MESSAGES; i++) {
        header.step = (uint64_t)i;
        assert_true(send_chunk(honest, &header, payload, 0));
        assert_true(receive_chunk(stranger.transport, &chunk));
        assert_int_equal(chunk.header.src, 2);
        assert_int_equal(chunk.header.step, i);
        sgp_transport_release(stranger.transport, &chunk);
    }
    assert_int_equal(sgp_transport_receive(stranger.transport, &chunk), SGP_ERR_AGAIN);
    sgp_transport_release(stranger.transport, &held[0]);
    assert_true(receive_chunk(stranger.transport, &chunk)); /* there is room again */
    assert_int_equal(chunk.header.src, 1);
    assert_int_equal(chunk.header.step, most);
    /* A larger promise of this rank is one to the others, too. */
    assert_int_equal(sgp_transport_prepare(stranger.transport, CHUNK, MESSAGES), SGP_OK);
    for (; most < stranger.transport->promised; most++)
        assert_true(receive_chunk(stranger.transport, &chunk));
    shutdown(hostile, SHUT_RDWR);
    pthread_join(thread, NULL);
    free(held);
    close(hostile);
    close(honest);
    end_stranger(&stranger);
}

/* Each released chunk is acknowledged. A peer that never reads the acknowledgements is not read
 * either, so they do not pile up. */
static void test_a_peer_that_never_reads_is_not_read(void **state) {
    (void)state;
    float payload[1] = {7};
    sgp_header_t header = header_of(payload, 1);
    stranger_t stranger = meet_stranger(NULL, 600000);
    int connection = call_as_rank_1(&stranger);
    sgp_chunk_t chunk;
    unsigned char bytes[SGP_FRAME_BYTES + SGP_HEADER_BYTES + sizeof payload];
    sgp_frame_encode(SGP_FRAME_CHUNK, 0, bytes);
    sgp_header_encode(&header, bytes + SGP_FRAME_BYTES);
    memcpy(bytes + SGP_FRAME_BYTES + SGP_HEADER_BYTES, payload, sizeof payload);
    size_t sent = 0, most = (size_t)200 << 20;
    bool heard = true;
    while (sent < most && heard) {
        ssize_t now = send(connection, bytes + sent % sizeof bytes,
                           sizeof bytes - sent % sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (now > 0) sent += (size_t)now;
        else
            heard = sgp_transport_wait(stranger.transport, sgp_transport_now(stranger.transport) +
                                                               1000000000u) == SGP_OK;
        while (sgp_transport_receive(stranger.transport, &chunk) == SGP_OK)
            sgp_transport_release(stranger.transport, &chunk);
    }
    assert_true(sent < most);
    close(connection);
    end_stranger(&stranger);
}

/* A peer that sends bytes that are no frame is lost, and nothing of it is received. */
static void test_nonsense_ends_the_peer(void **state) {
    (void)state;
    stranger_t stranger = meet_stranger(NULL, 0);
    int connection = call_as_rank_1(&stranger);
    static const char nonsense[SGP_FRAME_BYTES] = "GET / HT";
    assert_int_equal(send(connection, nonsense, sizeof nonsense, MSG_NOSIGNAL), sizeof nonsense);
    assert_int_equal(
        sgp_transport_wait(stranger.transport, sgp_transport_now(stranger.transport) + FAR),
        SGP_ERR_PEER_LOST);
    check_loss(&stranger, SGP_CAUSE_NONSENSE, "it sent bytes that are no frame");
    close(connection);
    end_stranger(&stranger);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_death_leaves_what_has_arrived),
        cmocka_unit_test(test_one_stops),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_slow_to_open),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_one_rank_one_caller),
        cmocka_unit_test(test_damaged_chunk_comes_again),
        cmocka_unit_test(test_repeats_what_is_asked_for),
        cmocka_unit_test(test_always_damaged),
        cmocka_unit_test(test_asks_too_often),
        cmocka_unit_test(test_tells_whose_turn_it_is),
        cmocka_unit_test(test_waits_for_its_turn),
        cmocka_unit_test(test_order_of_chunks),
        cmocka_unit_test(test_a_flood_delays_no_other_rank),
        cmocka_unit_test(test_a_peer_that_never_reads_is_not_read),
        cmocka_unit_test(test_nonsense_ends_the_peer),
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
    return failed + cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}
