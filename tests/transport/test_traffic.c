/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks between a rank and peers that the test plays: damaged ones, turns, floods, nonsense. */
#include "transport/strangers.h"

#include "transport/tcp/chunk_pool.h"
#include "transport/tcp/scheduler.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
