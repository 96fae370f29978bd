/* SPDX-License-Identifier: Apache-2.0 */
/* Transports that outlive the loss of a rank, and the weights that come back: a part of the conformance suite. The rank
 * that is lost is 1, the sender is 0. */
#ifndef SGP_TESTS_TRANSPORT_ELASTIC_CASES_H
#define SGP_TESTS_TRANSPORT_ELASTIC_CASES_H

#include "transport/any_order.h"
#include "transport/outstanding.h"

#include <sched.h>
#include <string.h>

enum { PUSH_CHANNEL = 7 }; /* of begin_vector */

/* Room for so many messages of ELEMENTS elements. */
static inline void be_elastic(sgp_transport_t *transport, unsigned messages) {
    CHECK(sgp_transport_can_be_elastic(transport));
    transport->elastic = true;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), messages) == SGP_OK);
}

/* Waits until the rank's fate is that; no wait ends with an error. */
static inline void await_fate(sgp_transport_t *transport, int rank, sgp_fate_state_t state) {
    uint64_t end = sgp_transport_now(transport) + FAR;
    while (sgp_fates_of(transport->fates, rank).state == SGP_FATE_PRESENT &&
           sgp_transport_now(transport) < end) {
        sgp_status_t status = sgp_transport_wait(transport, end);
        CHECK(status == SGP_OK || status == SGP_ERR_TIMEOUT);
    }
    CHECK(sgp_fates_of(transport->fates, rank).state == state);
}

static inline void commit_chunks(sgp_transport_t *transport, sgp_send_t *send, uint64_t begin,
                                 uint64_t end) {
    for (uint64_t i = begin; i < end; i++) commit_chunk(transport, send, i);
}

static inline void expect_nothing(sgp_transport_t *transport) {
    sgp_returned_t returned;
    CHECK(!sgp_transport_take_back(transport, PUSH_CHANNEL, &returned));
}

/* One message comes back, once. */
static inline void expect_back(sgp_transport_t *transport, uint64_t step, double weight) {
    sgp_returned_t returned = {.dst = -1};
    CHECK(!sgp_transport_take_back(transport, PUSH_CHANNEL + 1, &returned));
    CHECK(sgp_transport_take_back(transport, PUSH_CHANNEL, &returned));
    CHECK(returned.dst == 1 && returned.step == step && returned.weight == weight);
    CHECK(returned.id > 0 && returned.id <= transport->next_id);
    expect_nothing(transport);
}

/* Waits until the receivers have released all chunks of all messages: only what came back is off the books besides. */
static inline void await_releases(sgp_transport_t *transport) {
    uint64_t end = sgp_transport_now(transport) + FAR;
    for (uint64_t now;
         sgp_outstanding_count(transport) && (now = sgp_transport_now(transport)) < end;) {
        CHECK(sgp_transport_wait(transport, now + 1000000) != SGP_ERR_PEER_LOST);
        expect_nothing(transport);
    }
    CHECK(sgp_outstanding_count(transport) == 0);
}

/* Receives chunks into `held`, and releases the first ones of them. */
static inline void take_some(sgp_transport_t *transport, int receive, int release) {
    sgp_chunk_t held[CHUNKS_OF_VECTOR];
    CHECK(receive <= CHUNKS_OF_VECTOR);
    for (int i = 0; i < receive && receive_chunk(transport, &held[i]); i++) check_payload(&held[i]);
    for (int i = 0; i < release; i++) sgp_transport_release(transport, &held[i]);
}

/* Sends messages to a rank that is lost already: each comes back, and there is room for all. */
static inline void lost_before(sgp_transport_t *transport, void *context) {
    sgp_destination_t to = {1, 0.25};
    sgp_send_t send;
    (void)context;
    be_elastic(transport, 1);
    if (transport->rank == 1) {
        sgp_transport_destroy(transport);
        return;
    }
    await_fate(transport, 1, SGP_FATE_LOST);
    for (uint64_t step = 0; step < 20; step++) {
        if (!begin_vector(transport, &to, 1, step, &send)) break;
        expect_nothing(transport);
        commit_chunks(transport, &send, 0, CHUNKS_OF_VECTOR - 1);
        expect_nothing(transport); /* it is not whole */
        commit_chunks(transport, &send, CHUNKS_OF_VECTOR - 1, CHUNKS_OF_VECTOR);
        expect_back(transport, step, 0.25);
    }
    CHECK(sgp_outstanding_count(transport) == 0);
    finish(transport);
}

typedef struct middle {
    int committed; /* chunks, before the receiver ends */
    int received, released;
    bool leaves; /* it leaves in order */
} middle_t;

/* The receiver ends while the message is being committed. */
static inline void lost_in_the_middle(sgp_transport_t *transport, void *context) {
    const middle_t *middle = context;
    sgp_destination_t to = {1, 0.75};
    sgp_send_t send;
    be_elastic(transport, 1);
    if (transport->rank == 1) {
        take_some(transport, middle->received, middle->released);
        if (middle->leaves) sgp_transport_leave(transport, sgp_transport_now(transport) + FAR);
        sgp_transport_destroy(transport);
        return;
    }
    if (!begin_vector(transport, &to, 1, 3, &send)) return;
    commit_chunks(transport, &send, 0, (uint64_t)middle->committed);
    await_fate(transport, 1, middle->leaves ? SGP_FATE_LEFT : SGP_FATE_LOST);
    if (middle->committed < CHUNKS_OF_VECTOR) expect_nothing(transport);
    commit_chunks(transport, &send, (uint64_t)middle->committed, CHUNKS_OF_VECTOR);
    expect_back(transport, 3, 0.75);
    CHECK(sgp_outstanding_count(transport) == 0);
    finish(transport);
}

/* The receiver ends after it has released all chunks, of which the sender knows: nothing comes back. */
static inline void lost_after(sgp_transport_t *transport, void *context) {
    sgp_destination_t to = {1, 0.5};
    (void)context;
    be_elastic(transport, 1);
    if (transport->rank == 1) {
        take_some(transport, CHUNKS_OF_VECTOR, CHUNKS_OF_VECTOR);
        take_some(transport, 1, 1); /* the sender knows */
        sgp_transport_destroy(transport);
        return;
    }
    CHECK(send_vector(transport, &to, 1, 0, ELEMENTS));
    await_releases(transport);
    sgp_header_t header = {.kind = SGP_KIND_REST, .encoding = SGP_ENCODING_FLOAT32, .count = 1};
    sgp_send_t send;
    CHECK(sgp_transport_send_begin(transport, &header, &to, 1, &send) == SGP_OK);
    *(float *)sgp_transport_send_next(transport, &send) = value_of(0, 0, 0);
    sgp_transport_send_commit(transport, &send);
    await_fate(transport, 1, SGP_FATE_LOST);
    expect_nothing(transport); /* nor what is no push */
    finish(transport);
}

/* Of two receivers one is lost: the other's share does not come back, and its chunks arrive. */
static inline void one_of_two(sgp_transport_t *transport, void *context) {
    sgp_destination_t to[2] = {{1, 0.25}, {2, 0.5}};
    sgp_chunk_t chunk;
    (void)context;
    be_elastic(transport, 1);
    if (transport->rank == 1) {
        take_some(transport, 4, 2);
        sgp_transport_destroy(transport);
        return;
    }
    if (transport->rank == 0) {
        CHECK(send_vector(transport, to, 2, 0, ELEMENTS));
        await_fate(transport, 1, SGP_FATE_LOST);
        expect_back(transport, 0, 0.25);
        CHECK(
            send_vector(transport, &to[1], 1, 1, ELEMENTS)); /* the room of the first one is free */
        await_releases(transport);
    }
    if (transport->rank == 2)
        for (size_t left = 2 * ELEMENTS; left > 0 && receive_chunk(transport, &chunk);) {
            check_payload(&chunk);
            CHECK(chunk.header.weight == 0.5);
            left -= chunk.header.elements;
            sgp_transport_release(transport, &chunk);
        }
    finish(transport);
}

/* The receiver holds all there is room for, and ends: a sender that waits for room gets it. */
static inline void room_comes_free(sgp_transport_t *transport, void *context) {
    sgp_destination_t to[2] = {{1, 0.5}, {2, 0.5}};
    (void)context;
    be_elastic(transport, 1);
    if (transport->rank == 1) {
        take_some(transport, CHUNKS_OF_VECTOR, 0);
        sgp_transport_destroy(transport);
        return;
    }
    if (transport->rank == 0)
        for (uint64_t step = 0; step < 4; step++)
            CHECK(send_vector(transport, &to[step > 0], 1, step, ELEMENTS));
    if (transport->rank == 0) {
        await_fate(transport, 1, SGP_FATE_LOST);
        expect_back(transport, 0, 0.5);
    }
    for (int i = 0; transport->rank == 2 && i < 3; i++)
        take_some(transport, CHUNKS_OF_VECTOR, CHUNKS_OF_VECTOR);
    finish(transport);
}

/* A sender leaves while chunks to the lost rank are under way: before its deadline. */
static inline void sender_leaves(sgp_transport_t *transport, void *context) {
    sgp_destination_t to = {1, 0.5};
    (void)context;
    be_elastic(transport, 2);
    if (transport->rank == 1) {
        take_some(transport, 1, 0);
        sgp_transport_destroy(transport);
        return;
    }
    for (uint64_t step = 0; step < 2; step++) CHECK(send_vector(transport, &to, 1, step, ELEMENTS));
    uint64_t end = sgp_transport_now(transport) + FAR;
    sgp_transport_leave(transport, end);
    CHECK(sgp_transport_now(transport) < end);
    sgp_transport_destroy(transport);
}

/* Every event of the fates ends one wait, and none with an error; then waits last until their deadline. Of three each
 * has an edge to each, and so knows both losses. */
static inline void events_end_waits(sgp_transport_t *transport, void *context) {
    (void)context;
    transport->elastic = true;
    if (transport->rank != 0) {
        sgp_transport_destroy(transport);
        return;
    }
    for (int r = 1; r < transport->size; r++) await_fate(transport, r, SGP_FATE_LOST);
    sgp_status_t status;
    do status = sgp_transport_wait(transport, sgp_transport_now(transport) + 2000000);
    while (status == SGP_OK);
    CHECK(status == SGP_ERR_TIMEOUT);
    finish(transport);
}

/* Rank 1 is lost, and then rank 2: no consequence of the first loss. All others learn of both, also the one that has no
 * edge to rank 2. */
static inline void lost_in_turn(sgp_transport_t *transport, void *context) {
    sgp_destination_t to = {transport->rank == 3 ? 2 : 1, 0.5};
    (void)context;
    be_elastic(transport, 1);
    if (transport->rank != 1) CHECK(send_vector(transport, &to, 1, 0, 16));
    if (transport->rank == 1)
        take_some(transport, 2, 2); /* those who watch it are elastic by now */
    if (transport->rank == 2) take_some(transport, 1, 1);
    if (transport->rank != 1) await_fate(transport, 1, SGP_FATE_LOST);
    if (transport->rank == 1 || transport->rank == 2) {
        sgp_transport_destroy(transport);
        return;
    }
    await_fate(transport, 2, SGP_FATE_LOST);
    for (int r = 1; r <= 2; r++) {
        sgp_fate_t fate = sgp_fates_of(transport->fates, r);
        CHECK(fate.of == -1 && fate.cause != SGP_CAUSE_FOLLOWED);
    }
    finish(transport);
}

/* More messages than are kept apart, to a rank that is lost: their weights all come back. */
static inline void many_come_back(sgp_transport_t *transport, void *context) {
    enum { MESSAGES = 3000 };
    sgp_destination_t to = {1, 1.0 / 8};
    sgp_returned_t returned;
    (void)context;
    be_elastic(transport, 1);
    if (transport->rank == 1) {
        sgp_transport_destroy(transport);
        return;
    }
    await_fate(transport, 1, SGP_FATE_LOST);
    for (uint64_t step = 0; step < MESSAGES; step++)
        CHECK(send_vector(transport, &to, 1, step, 16));
    double sum = 0;
    int count = 0;
    CHECK(sgp_outstanding_count(transport) < 1100);
    for (; sgp_transport_take_back(transport, PUSH_CHANNEL, &returned); count++)
        sum += returned.weight;
    CHECK(sum == MESSAGES / 8.0 && count < 1100);
    finish(transport);
}

/* A message that is abandoned does not come back. */
static inline void abandoned(sgp_transport_t *transport, void *context) {
    sgp_destination_t to = {1, 0.5};
    sgp_send_t send;
    (void)context;
    be_elastic(transport, 2);
    if (transport->rank == 1) {
        take_some(transport, 3, 0);
        sgp_transport_destroy(transport);
        return;
    }
    for (uint64_t step = 0; step < 3; step++) { /* before the loss, after it, and begun after it */
        if (!begin_vector(transport, &to, 1, step, &send)) break;
        commit_chunks(transport, &send, 0, step ? 5 : 1);
        if (step == 0) sgp_transport_send_abandon(transport, &send);
        if (step > 0) await_fate(transport, 1, SGP_FATE_LOST);
        if (step > 0) sgp_transport_send_abandon(transport, &send);
        expect_nothing(transport);
    }
    CHECK(sgp_outstanding_count(transport) == 0);
    finish(transport);
}

typedef struct striking {
    atomic_bool elastic; /* rank 1: without that the end of its connection is the end of rank 0 */
    atomic_bool given_up;
    atomic_bool knows; /* rank 1 */
} striking_t;

static inline void await_flag(sgp_transport_t *transport, atomic_bool *flag) {
    uint64_t end = sgp_transport_now(transport) + FAR;
    for (uint64_t now; !atomic_load(flag) && (now = sgp_transport_now(transport)) < end;)
        CHECK(sgp_transport_wait(transport, now + 1000000) != SGP_ERR_PEER_LOST);
}

/* Rank 0 gives up a rank that lives, which is told. */
static inline void struck_off(sgp_transport_t *transport, void *context) {
    striking_t *striking = context;
    transport->elastic = transport->confirms = true;
    if (transport->rank == 0) {
        await_flag(transport, &striking->elastic);
        sgp_transport_give_up(transport, 1, sgp_fate_lost(SGP_CAUSE_SILENT), NULL);
        atomic_store(&striking->given_up, true);
        await_flag(transport, &striking->knows);
        CHECK(sgp_fates_of(transport->fates, 1).cause == SGP_CAUSE_SILENT);
    } else {
        atomic_store(&striking->elastic, true);
        if (!strcmp(transport->ops->name, "shm")) { /* in memory that both have: known at once */
            while (!atomic_load(&striking->given_up)) sched_yield();
            sgp_transport_look_at_self(transport);
            CHECK(sgp_fates_of(transport->fates, 1).state == SGP_FATE_LOST);
        }
        await_fate(transport, 1, SGP_FATE_LOST);
        CHECK(sgp_fates_of(transport->fates, 1).cause == SGP_CAUSE_STRUCK_OFF);
        atomic_store(&striking->knows, true);
    }
    sgp_transport_destroy(transport);
}

static inline void test_struck_off(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(2);
    striking_t striking = {false, false, false};
    run_transports(&setup, struck_off, &striking);
}

/* Without the flag nothing is kept. */
static inline void inelastic(sgp_transport_t *transport, void *context) {
    sgp_destination_t to = {1 - transport->rank, 0.5};
    sgp_returned_t returned;
    (void)context;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    CHECK(send_vector(transport, &to, 1, 0, ELEMENTS));
    CHECK(sgp_outstanding_count(transport) == 0);
    take_some(transport, CHUNKS_OF_VECTOR, CHUNKS_OF_VECTOR);
    CHECK(!sgp_transport_take_back(transport, PUSH_CHANNEL, &returned));
    finish(transport);
}

static inline void run_elastic(ranks_setup_t *setup,
                               void (*body)(sgp_transport_t *transport, void *context)) {
    setup->loopback.capacity = CHUNKS_OF_VECTOR + 4;
    run_transports(setup, body, NULL);
}

static inline void test_elastic(void **state) {
    (void)state;
    ranks_setup_t two = SETUP(2), three = SETUP(3), four = SETUP(4);
    run_elastic(&two, lost_before);
    run_elastic(&two, lost_after);
    run_elastic(&three, one_of_two);
    run_elastic(&three, room_comes_free);
    run_elastic(&two, many_come_back);
    run_elastic(&two, inelastic);
    run_transports(&two, abandoned, NULL);
    three.loopback.capacity = two.loopback.capacity = 0;
    run_transports(&two, sender_leaves, NULL);
    run_transports(&three, events_end_waits, NULL);
    run_transports(&four, lost_in_turn, NULL);
}

static inline void test_lost_in_the_middle(void **state) {
    (void)state;
    middle_t middles[] = {{0, 0, 0, false},
                          {8, 0, 0, false},
                          {8, 5, 0, false},
                          {8, 5, 3, false},
                          {8, 8, 8, false},
                          {CHUNKS_OF_VECTOR, 0, 0, false},
                          {CHUNKS_OF_VECTOR, CHUNKS_OF_VECTOR, CHUNKS_OF_VECTOR - 1, false},
                          {0, 0, 0, true},
                          {8, 5, 3, true},
                          {CHUNKS_OF_VECTOR, 0, 0, true},
                          {CHUNKS_OF_VECTOR, 5, 3, true}};
    for (size_t i = 0; i < sizeof middles / sizeof *middles; i++) {
        ranks_setup_t setup = SETUP(2);
        run_transports(&setup, lost_in_the_middle, &middles[i]);
    }
}

#endif
