/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks that leave in any order, and messages that are never whole: a part of the conformance suite. */
#ifndef SGP_TESTS_TRANSPORT_ANY_ORDER_H
#define SGP_TESTS_TRANSPORT_ANY_ORDER_H

#include "transport/vectors.h"

#include "base/random.h"

/* Begins a message of ELEMENTS elements, as soon as there is room. */
static bool begin_vector(sgp_transport_t *transport, const sgp_destination_t *to, int destinations,
                         uint64_t step, sgp_send_t *send) {
    sgp_header_t header = {.kind = SGP_KIND_PUSH,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = 7,
                           .step = step,
                           .count = ELEMENTS};
    for (;;) {
        sgp_status_t status = sgp_transport_send_begin(transport, &header, to, destinations, send);
        if (status == SGP_OK) return true;
        CHECK(status == SGP_ERR_AGAIN);
        if (status != SGP_ERR_AGAIN) return false;
        status = sgp_transport_wait(transport, sgp_transport_now(transport) + FAR);
        CHECK(status == SGP_OK);
        if (status != SGP_OK) return false;
    }
}

enum { CHUNKS_OF_VECTOR = (1000 + CHUNK / 4 - 1) / (CHUNK / 4) };

/* A permutation of the chunks of a vector. */
static void shuffle(uint64_t seed, uint64_t stream, uint64_t order[CHUNKS_OF_VECTOR]) {
    sgp_random_t random;
    sgp_random_init(&random, seed, stream);
    for (uint64_t i = 0; i < CHUNKS_OF_VECTOR; i++) {
        uint64_t j = sgp_random_below(&random, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}

static void commit_chunk(sgp_transport_t *transport, sgp_send_t *send, uint64_t index) {
    float *place = sgp_transport_send_chunk(transport, send, index);
    size_t offset = (size_t)index * (CHUNK / sizeof(float));
    CHECK(place && (uintptr_t)place % 64 == 0);
    CHECK(send->header.offset == offset);
    CHECK(send->header.elements ==
          (ELEMENTS - offset < CHUNK / sizeof(float) ? ELEMENTS - offset : CHUNK / sizeof(float)));
    for (size_t i = 0; i < send->header.elements; i++)
        place[i] = value_of(transport->rank, send->header.step, offset + i);
    sgp_transport_send_commit(transport, send);
}

/* Takes so many chunks, each of which may arrive once: [sender][step][chunk]. */
enum { MOST_STEPS = 40, MOST_RANKS = 8 };
static void take_chunks(sgp_transport_t *transport, int count,
                        bool got[MOST_RANKS][MOST_STEPS][CHUNKS_OF_VECTOR]) {
    sgp_chunk_t chunk;
    while (count > 0 && receive_chunk(transport, &chunk)) {
        size_t index = (size_t)chunk.header.offset / (CHUNK / sizeof(float));
        CHECK(!got[chunk.header.src][chunk.header.step][index]);
        got[chunk.header.src][chunk.header.step][index] = true;
        CHECK(chunk.header.weight == 0.5 + transport->rank);
        check_payload(&chunk);
        sgp_transport_release(transport, &chunk);
        count--;
    }
}

/* Every rank sends two messages to every other, their chunks in random order and mixed with each other. The weights are
 * set after the message has begun. */
static void any_order(sgp_transport_t *transport, void *context) {
    enum { MESSAGES = 2 };
    uint64_t seed = *(uint64_t *)context, order[MESSAGES][CHUNKS_OF_VECTOR];
    bool got[MOST_RANKS][MOST_STEPS][CHUNKS_OF_VECTOR] = {{{false}}};
    sgp_destination_t to[MOST_RANKS];
    sgp_send_t sends[MESSAGES];
    int size = transport->size, others = 0;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), MESSAGES) == SGP_OK);
    for (int r = 0; r < size; r++)
        if (r != transport->rank) to[others++] = (sgp_destination_t){.dst = r, .weight = 1};
    for (uint64_t step = 0; step < MESSAGES; step++) {
        CHECK(begin_vector(transport, to, others, step, &sends[step]));
        shuffle(seed, (uint64_t)transport->rank * 8 + step, order[step]);
    }
    for (int i = 0; i < others; i++) to[i].weight = 0.5 + to[i].dst;
    for (int i = 0; i < CHUNKS_OF_VECTOR; i++)
        for (int step = 0; step < MESSAGES; step++)
            commit_chunk(transport, &sends[step], order[step][i]);
    take_chunks(transport, others * MESSAGES * CHUNKS_OF_VECTOR, got);
    for (int r = 0; r < size; r++)
        for (int i = 0; i < MESSAGES * CHUNKS_OF_VECTOR; i++)
            CHECK(got[r][i / CHUNKS_OF_VECTOR][i % CHUNKS_OF_VECTOR] == (r != transport->rank));
    for (int step = 0; step < MESSAGES; step++)
        sgp_transport_send_abandon(transport, &sends[step]); /* nothing is left of them */
    finish(transport);
}

static inline void test_any_order(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        for (int size = 1; size <= 5; size++) {
            ranks_setup_t setup = SETUP(size);
            run_transports(&setup, any_order, &seed);
        }
}

enum { ABANDONED = 39 }; /* and then a whole one */

/* Chunks of message `step` that are committed, the first of its order. */
static int committed_of(int step) {
    if (step == ABANDONED) return CHUNKS_OF_VECTOR;
    return step % 4 == 3 ? 0 : 5;
}

/* Rank 0 abandons messages of which some chunks have been committed, and of some one more has a place: those that were
 * committed arrive, and no others. Their room is there again, as there is only that of one message. */
static void abandons(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_destination_t to = {.dst = 1, .weight = 1.5};
    uint64_t order[CHUNKS_OF_VECTOR];
    bool got[MOST_RANKS][MOST_STEPS][CHUNKS_OF_VECTOR] = {{{false}}};
    int all = 0;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    for (int step = 0; step <= ABANDONED; step++) {
        sgp_send_t send;
        shuffle(9, (uint64_t)step, order);
        all += committed_of(step);
        if (transport->rank != 0 || !begin_vector(transport, &to, 1, (uint64_t)step, &send))
            continue;
        for (int i = 0; i < committed_of(step); i++) commit_chunk(transport, &send, order[i]);
        if (step % 3 == 0 && step < ABANDONED) /* without a commit */
            memset(sgp_transport_send_chunk(transport, &send, order[committed_of(step)]), 1, 4);
        sgp_transport_send_abandon(transport, &send);
    }
    if (transport->rank == 1) take_chunks(transport, all, got);
    for (int step = 0; step <= ABANDONED && transport->rank == 1; step++) {
        shuffle(9, (uint64_t)step, order);
        for (int i = 0; i < CHUNKS_OF_VECTOR; i++)
            CHECK(got[0][step][order[i]] == (i < committed_of(step)));
    }
    finish(transport);
}

static inline void test_abandon(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(2);
    setup.loopback.capacity = CHUNKS_OF_VECTOR + 4;
    run_transports(&setup, abandons, NULL);
}

/* Rank 0 leaves in the middle of a message: the committed chunks arrive, and it has left in order. */
static void leaves_in_the_middle(sgp_transport_t *transport, void *context) {
    enum { COMMITTED = 3 };
    (void)context;
    sgp_destination_t to = {.dst = 1, .weight = 1.5};
    bool got[MOST_RANKS][MOST_STEPS][CHUNKS_OF_VECTOR] = {{{false}}};
    sgp_send_t send;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    if (transport->rank == 0 && begin_vector(transport, &to, 1, 0, &send))
        for (uint64_t i = 0; i < COMMITTED; i++) commit_chunk(transport, &send, 2 * i + 1);
    if (transport->rank == 1) {
        take_chunks(transport, COMMITTED, got);
        for (int i = 0; i < COMMITTED; i++) CHECK(got[0][0][2 * i + 1]);
        CHECK(sgp_transport_lost_peer(transport) == -1);
    }
    finish(transport);
}

static inline void test_leave_in_the_middle(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(2);
    run_transports(&setup, leaves_in_the_middle, NULL);
}

#endif
