/* SPDX-License-Identifier: Apache-2.0 */
/* For tests in which a process of a group over TCP has peers that the test plays itself, frame by
 * frame, and that may break the protocol. */
#ifndef SGP_TESTS_TRANSPORT_STRANGERS_H
#define SGP_TESTS_TRANSPORT_STRANGERS_H

#include "ranks.h"
#include "shake.h"
#include "transport/vectors.h"

#include "transport/tcp/frame.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <xxhash.h>

typedef struct stranger {
    int listener;
    sgp_address_t address, theirs;
    sgp_transport_t *transport; /* rank 0 of 2 or 3; the stranger plays all others */
} stranger_t;

/* Of the transport of rank 0. */
static sgp_patience_t strangers_patience;

static inline stranger_t meet_strangers(int size, const sgp_key_t *key, int peer_timeout_ms) {
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
                                 .patience = strangers_patience,
                                 .at_once = true};
    assert_int_equal(sgp_tcp_connect(&options, &stranger.transport), SGP_OK);
    return stranger;
}

static inline stranger_t meet_stranger(const sgp_key_t *key, int peer_timeout_ms) {
    return meet_strangers(2, key, peer_timeout_ms);
}

static inline int call(const sgp_address_t *address) {
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
static inline int take_call(const stranger_t *stranger) {
    struct pollfd readable = {.fd = stranger->listener, .events = POLLIN};
    assert_int_equal(poll(&readable, 1, 60000), 1);
    int connection = accept4(stranger->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(connection >= 0);
    return connection;
}

/* Takes it, and answers as rank 1. */
static inline int answer(const stranger_t *stranger) {
    int connection = take_call(stranger);
    sgp_handshake_t handshake;
    sgp_handshake_init(&handshake, false, &rank_1, NULL);
    assert_int_equal(shake(connection, &handshake), SGP_HANDSHAKE_DONE);
    return connection;
}

/* Rank 1 is lost, for that reason. */
static inline void check_loss(const stranger_t *stranger, sgp_cause_t cause, const char *why) {
    char text[128];
    assert_int_equal(sgp_transport_lost_peer(stranger->transport), 1);
    assert_int_equal(sgp_fates_of(stranger->transport->fates, 1).cause, cause);
    assert_non_null(strstr(sgp_fates_why(stranger->transport->fates, 1, text, sizeof text), why));
}

static inline void end_stranger(stranger_t *stranger) {
    sgp_transport_destroy(stranger->transport);
    close(stranger->listener);
    sgp_log_set(NULL, NULL, 0);
}

static inline int send_chunk(int connection, const sgp_header_t *header, const float *payload,
                             uint32_t ticket) {
    unsigned char head[SGP_FRAME_BYTES + SGP_HEADER_BYTES];
    sgp_frame_encode(SGP_FRAME_CHUNK, ticket, head);
    sgp_header_encode(header, head + SGP_FRAME_BYTES);
    size_t bytes = header->elements * sizeof *payload;
    assert_int_equal(send(connection, head, sizeof head, MSG_NOSIGNAL), sizeof head);
    return send(connection, payload, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

/* The next frame that is no heartbeat. */
static inline sgp_frame_kind_t read_frame(int connection, uint32_t *value) {
    sgp_frame_kind_t kind = SGP_FRAME_ALIVE;
    while (kind == SGP_FRAME_ALIVE) {
        unsigned char bytes[SGP_FRAME_BYTES];
        assert_int_equal(recv(connection, bytes, sizeof bytes, MSG_WAITALL), sizeof bytes);
        assert_true(sgp_frame_decode(bytes, &kind, value));
    }
    return kind;
}

static inline int call_as(const stranger_t *stranger, int rank) {
    int connection = call(&stranger->theirs);
    sgp_handshake_t handshake;
    sgp_hello_t hello = rank_1;
    hello.rank = rank;
    hello.size = stranger->transport->size;
    sgp_handshake_init(&handshake, true, &hello, NULL);
    assert_int_equal(shake(connection, &handshake), SGP_HANDSHAKE_DONE);
    return connection;
}

static inline int call_as_rank_1(const stranger_t *stranger) {
    return call_as(stranger, 1);
}

static inline sgp_header_t header_of(const float *payload, uint32_t elements) {
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

#endif
