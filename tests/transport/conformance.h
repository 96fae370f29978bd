/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of every transport (transport/transport.h), as tests. The test file of a transport
 * defines how its ranks are set up, and includes this:
 *
 *   #define SETUP(ranks) {.shm = true, .loopback = {.size = (ranks), .chunk_bytes = 256}}
 *   #include "transport/conformance.h"
 *   int main(void) { return run_conformance(); } */
#ifndef SGP_TESTS_TRANSPORT_CONFORMANCE_H
#define SGP_TESTS_TRANSPORT_CONFORMANCE_H

#include "transport/any_order.h"
#include "transport/elastic_cases.h"

/* Every rank sends three messages to every other: each chunk arrives once, whole, with its weight
 * and its sender. */
static void all_to_all(sgp_transport_t *transport, void *context) {
    (void)context;
    enum { STEPS = 3 };
    int size = transport->size;
    size_t got[64][STEPS];
    memset(got, 0, sizeof got);
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), STEPS) == SGP_OK);
    sgp_destination_t to[64];
    int others = 0;
    for (int r = 0; r < size; r++)
        if (r != transport->rank) to[others++] = (sgp_destination_t){r, 0.25 + r};
    for (uint64_t step = 0; step < STEPS; step++)
        CHECK(send_vector(transport, to, others, step, ELEMENTS));
    size_t left = (size_t)others * STEPS * ELEMENTS;
    sgp_chunk_t chunk;
    while (left > 0 && receive_chunk(transport, &chunk)) {
        CHECK(chunk.header.src != transport->rank && chunk.header.src < size);
        CHECK(chunk.header.weight == 0.25 + transport->rank);
        CHECK(chunk.header.count == ELEMENTS && chunk.header.channel == 7);
        check_payload(&chunk);
        got[chunk.header.src][chunk.header.step] += chunk.header.elements;
        left -= chunk.header.elements;
        sgp_transport_release(transport, &chunk);
    }
    for (int r = 0; r < size; r++)
        for (int s = 0; s < STEPS; s++) CHECK(got[r][s] == (r == transport->rank ? 0 : ELEMENTS));
    CHECK(sgp_transport_receive(transport, &chunk) == SGP_ERR_AGAIN);
    finish(transport);
}

static void test_all_to_all(void **state) {
    (void)state;
    for (int size = 1; size <= 5; size++) {
        ranks_setup_t setup = SETUP(size);
        run_transports(&setup, all_to_all, NULL);
    }
}

/* Chunks do not change while they are held, and can be released in any order. */
static void hold(sgp_transport_t *transport, void *context) {
    (void)context;
    enum { CHUNKS = 16 };
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 2) == SGP_OK);
    sgp_destination_t to = {1 - transport->rank, 1};
    for (uint64_t step = 0; step < 2; step++) {
        sgp_chunk_t chunks[CHUNKS];
        CHECK(send_vector(transport, &to, 1, step, ELEMENTS));
        int held = 0;
        while (held < CHUNKS && receive_chunk(transport, &chunks[held])) held++;
        for (int i = 0; i < held; i++) check_payload(&chunks[i]);
        for (int i = 0; i < held; i += 2) sgp_transport_release(transport, &chunks[i]);
        for (int i = held - 1; i > 0; i -= 2) sgp_transport_release(transport, &chunks[i]);
    }
    finish(transport);
}

static void test_hold(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(2);
    run_transports(&setup, hold, NULL);
}

/* With little room send_begin returns AGAIN, and every chunk arrives all the same. */
static void little_room(sgp_transport_t *transport, void *context) {
    (void)context;
    enum { MESSAGES = 50 };
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    sgp_destination_t to = {1, 1};
    if (transport->rank == 0)
        for (uint64_t step = 0; step < MESSAGES; step++)
            CHECK(send_vector(transport, &to, 1, step, ELEMENTS));
    else
        for (size_t left = MESSAGES * ELEMENTS; left > 0;) {
            sgp_chunk_t chunk;
            if (!receive_chunk(transport, &chunk)) break;
            check_payload(&chunk);
            left -= chunk.header.elements;
            sgp_transport_release(transport, &chunk);
        }
    finish(transport);
}

static void test_little_room(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(2);
    setup.loopback.capacity = 20;
    run_transports(&setup, little_room, NULL);
}

/* A wait ends at its deadline, and time has passed by then. It may end earlier, as another rank has left. */
static void deadline(sgp_transport_t *transport, void *context) {
    (void)context;
    uint64_t start = sgp_transport_now(transport);
    sgp_status_t status;
    do status = sgp_transport_wait(transport, start + 2000000);
    while (status == SGP_OK);
    CHECK(status == SGP_ERR_TIMEOUT);
    CHECK(sgp_transport_now(transport) >= start + 2000000);
    CHECK(sgp_transport_lost_peer(transport) == -1);
    finish(transport);
}

static void test_deadline(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(3);
    run_transports(&setup, deadline, NULL);
}

/* Chunks that a rank sent before it left in order arrive, and its absence is no failure. */
static void sends_and_leaves(sgp_transport_t *transport, void *context) {
    (void)context;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    sgp_destination_t to = {1, 1};
    sgp_chunk_t chunk;
    if (transport->rank == 0) CHECK(send_vector(transport, &to, 1, 0, ELEMENTS));
    else
        for (size_t left = ELEMENTS; left > 0 && receive_chunk(transport, &chunk);) {
            check_payload(&chunk);
            left -= chunk.header.elements;
            sgp_transport_release(transport, &chunk);
        }
    finish(transport);
}

static void test_leave(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(2);
    run_transports(&setup, sends_and_leaves, NULL);
}

/* ---- losses; not under mpi, which ends the whole job ---- */

/* Sleeps until the fates of so many ranks have changed. */
static void await_changes(sgp_transport_t *transport, uint32_t changes) {
    uint64_t deadline = sgp_transport_now(transport) + FAR;
    sgp_transport_lock(transport);
    for (uint64_t now; sgp_fates_changes(transport->fates) < changes;) {
        now = sgp_transport_now(transport);
        if (now >= deadline) break;
        sgp_transport_pause(transport, now + 1000000);
    }
    sgp_transport_unlock(transport);
    CHECK(sgp_fates_changes(transport->fates) >= changes);
}

/* The number of events of a rank: its fate changes once at most. */
static int events_of(sgp_transport_t *transport, int rank) {
    int count = 0;
    for (uint32_t n = 0; n < sgp_fates_changes(transport->fates); n++)
        count += sgp_fates_changed(transport->fates, n) == rank;
    return count;
}

/* The rank is lost, and its loss follows no other. */
static void check_first_cause(sgp_transport_t *transport, int rank) {
    sgp_fate_t fate = sgp_fates_of(transport->fates, rank);
    char why[128];
    CHECK(fate.state == SGP_FATE_LOST && fate.of == -1);
    CHECK(fate.cause != SGP_CAUSE_NONE && fate.cause != SGP_CAUSE_FOLLOWED);
    CHECK(sgp_fates_why(transport->fates, rank, why, sizeof why)[0]);
    CHECK(sgp_transport_lost_peer(transport) == rank);
    CHECK(events_of(transport, rank) == 1);
}

/* Rank 1 ends without leaving, before any message is sent to it. All others learn which rank it
 * was. */
static void dies(sgp_transport_t *transport, void *context) {
    (void)context;
    if (transport->rank == 1) {
        sgp_transport_destroy(transport);
        return;
    }
    sgp_status_t status;
    do status = sgp_transport_wait(transport, sgp_transport_now(transport) + FAR);
    while (status == SGP_OK); /* another one has left */
    CHECK(status == SGP_ERR_PEER_LOST);
    check_first_cause(transport, 1);
    sgp_destination_t to = {1, 1};
    sgp_send_t send;
    sgp_header_t header = {.kind = SGP_KIND_PUSH, .encoding = SGP_ENCODING_FLOAT32, .count = 16};
    CHECK(sgp_transport_prepare(transport, 64, 1) == SGP_OK);
    CHECK(sgp_transport_send_begin(transport, &header, &to, 1, &send) == SGP_ERR_PEER_LOST);
    finish(transport);
}

/* Rank 1 receives a message from each, so that all are connected to it. */
static void send_to_1(sgp_transport_t *transport) {
    sgp_destination_t to = {1, 1};
    sgp_chunk_t chunk;
    CHECK(sgp_transport_prepare(transport, 64, 1) == SGP_OK);
    if (transport->rank != 1) CHECK(send_vector(transport, &to, 1, 0, 16));
    for (int r = 1; transport->rank == 1 && r < transport->size; r++)
        if (receive_chunk(transport, &chunk)) sgp_transport_release(transport, &chunk);
}

/* Rank 1 ends without leaving, and rank 2 ends for that, without leaving either. Rank 0 looks when
 * both are gone: the cause is rank 1, the end of rank 2 follows it, and each is one event. Of three
 * each has an edge to each, and so knows both. */
static void follow(sgp_transport_t *transport, void *context) {
    (void)context;
    send_to_1(transport);
    if (transport->rank == 1) {
        sgp_transport_destroy(transport);
        return;
    }
    sgp_status_t status;
    do status = sgp_transport_wait(transport, sgp_transport_now(transport) + FAR);
    while (status == SGP_OK); /* room came free */
    CHECK(status == SGP_ERR_PEER_LOST);
    CHECK(sgp_transport_lost_peer(transport) == 1);
    if (transport->rank != 0) {
        sgp_transport_destroy(transport);
        return;
    }
    await_changes(transport, 2);
    check_first_cause(transport, 1);
    sgp_fate_t fate = sgp_fates_of(transport->fates, 2);
    CHECK(fate.state == SGP_FATE_LOST && fate.cause == SGP_CAUSE_FOLLOWED && fate.of == 1);
    CHECK(events_of(transport, 2) == 1);
    finish(transport);
}

static bool have_all_ended(sgp_transport_t *transport) {
    for (int r = 1; r < transport->size; r++)
        if (!sgp_transport_has_ended(transport, r)) return false;
    return true;
}

/* A rank that has ended has brought all it sent, and its end wakes a wait. */
static void ends(sgp_transport_t *transport, void *context) {
    enum { COUNT = 3, LENGTH = 5000 };
    sgp_destination_t to = {0, 1};
    sgp_chunk_t chunk;
    size_t elements = 0;
    bool over = !transport->ops->has_ended; /* it cannot tell */
    (void)context;
    CHECK(sgp_transport_prepare(transport, LENGTH * sizeof(float), COUNT) == SGP_OK);
    for (uint64_t k = 0; transport->rank != 0 && !over && k < COUNT; k++)
        CHECK(send_vector(transport, &to, 1, k, LENGTH));
    while (transport->rank == 0 && !over) {
        over = have_all_ended(transport);
        while (sgp_transport_receive(transport, &chunk) == SGP_OK) {
            elements += chunk.header.elements;
            sgp_transport_release(transport, &chunk);
        }
        if (over) CHECK(elements == (size_t)(transport->size - 1) * COUNT * LENGTH);
        else CHECK(sgp_transport_wait(transport, sgp_transport_now(transport) + FAR) == SGP_OK);
    }
    finish(transport);
}

static void test_end(void **state) {
    (void)state;
    for (int size = 2; size <= 4; size++) {
        ranks_setup_t setup = SETUP(size);
        run_transports(&setup, ends, NULL);
    }
}

/* A rank that leaves is not lost; its departure is an event, too. */
static void others_leave(sgp_transport_t *transport, void *context) {
    (void)context;
    if (transport->rank == 0) {
        await_changes(transport, (uint32_t)transport->size - 1);
        CHECK(sgp_transport_lost_peer(transport) == -1);
        for (int r = 1; r < transport->size; r++) {
            CHECK(sgp_fates_of(transport->fates, r).state == SGP_FATE_LEFT);
            CHECK(events_of(transport, r) == 1);
        }
    }
    finish(transport);
}

/* Rank 1 ends without leaving, in the middle of a message: what it had committed arrives, then rank 0 sees the loss.
 */
static void dies_in_the_middle(sgp_transport_t *transport, void *context) {
    enum { COMMITTED = 4 };
    (void)context;
    sgp_destination_t to = {.dst = 0, .weight = 0.5};
    bool got[MOST_RANKS][MOST_STEPS][CHUNKS_OF_VECTOR] = {{{false}}};
    sgp_send_t send;
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    if (transport->rank == 1) {
        if (begin_vector(transport, &to, 1, 0, &send))
            for (uint64_t i = 0; i < COMMITTED; i++) commit_chunk(transport, &send, 3 * i);
        sgp_chunk_t chunk; /* rank 0 has them */
        if (receive_chunk(transport, &chunk)) sgp_transport_release(transport, &chunk);
        sgp_transport_destroy(transport);
        return;
    }
    take_chunks(transport, COMMITTED, got);
    for (int i = 0; i < COMMITTED; i++) CHECK(got[1][0][3 * i]);
    to.dst = 1;
    CHECK(send_vector(transport, &to, 1, 0, 16));
    sgp_status_t status;
    do status = sgp_transport_wait(transport, sgp_transport_now(transport) + FAR);
    while (status == SGP_OK); /* room came free */
    CHECK(status == SGP_ERR_PEER_LOST);
    check_first_cause(transport, 1);
    finish(transport);
}

static inline void test_fates(void **state) {
    (void)state;
    ranks_setup_t two = SETUP(2);
    run_transports(&two, dies_in_the_middle, NULL);
    for (int size = 2; size <= 5; size++) {
        ranks_setup_t setup = SETUP(size);
        run_transports(&setup, dies, NULL);
    }
    ranks_setup_t setup = SETUP(3);
    run_transports(&setup, follow, NULL);
    run_transports(&setup, others_leave, NULL);
}

/* ---- the agent ---- */

typedef struct agent_test {
    sgp_transport_t *transport;
    bool told;     /* all of these belong to the lock */
    int received;  /* messages, by the agent */
    bool finished; /* the agent has ended */
} agent_test_t;

/* Receives until it is told to end, asleep in between. */
static void agent_receives(void *context) {
    agent_test_t *test = context;
    sgp_transport_t *transport = test->transport;
    for (;;) {
        sgp_transport_lock(transport);
        bool told = test->told;
        sgp_transport_unlock(transport);
        if (told) break;
        sgp_chunk_t chunk;
        int messages = 0;
        while (sgp_transport_receive(transport, &chunk) == SGP_OK) {
            check_payload(&chunk);
            messages += chunk.header.offset + chunk.header.elements == chunk.header.count;
            sgp_transport_release(transport, &chunk);
        }
        sgp_transport_lock(transport);
        test->received += messages;
        if (messages) sgp_transport_signal(transport);
        sgp_transport_unlock(transport);
        if (!messages) sgp_transport_wait(transport, UINT64_MAX);
    }
    sgp_transport_lock(transport);
    test->finished = true;
    sgp_transport_unlock(transport);
}

/* The first context sends, starts the agent, and sleeps until the agent has received from all; then
 * it wakes the agent from a wait without end. Twice, since an agent may be started again. */
static void with_agent(sgp_transport_t *transport, void *context) {
    (void)context;
    int others = transport->size - 1;
    sgp_destination_t to[8];
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 2) == SGP_OK);
    for (int i = 0; i < others; i++)
        to[i] =
            (sgp_destination_t){.dst = (transport->rank + 1 + i) % transport->size, .weight = 1};
    agent_test_t test = {.transport = transport};
    for (int round = 1; round <= 2; round++) {
        CHECK(send_vector(transport, to, others, (uint64_t)round, ELEMENTS));
        test.told = test.finished = false;
        CHECK(sgp_transport_agent_start(transport, agent_receives, &test) == SGP_OK);
        uint64_t deadline = sgp_transport_now(transport) + FAR;
        sgp_transport_lock(transport);
        while (test.received < round * others && sgp_transport_now(transport) < deadline)
            sgp_transport_pause(transport, deadline);
        CHECK(test.received >= round * others);
        test.told = true;
        sgp_transport_signal(transport);
        sgp_transport_unlock(transport);
        sgp_transport_agent_join(transport);
        CHECK(test.finished);
    }
    finish(transport);
}

static void test_agent(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(4);
    run_transports(&setup, with_agent, NULL);
}

/* Without a signal a pause ends at its deadline. */
static void pauses(sgp_transport_t *transport, void *context) {
    (void)context;
    uint64_t start = sgp_transport_now(transport), until = start + 2000000u;
    sgp_transport_lock(transport);
    while (sgp_transport_now(transport) < until) sgp_transport_pause(transport, until);
    sgp_transport_unlock(transport);
    CHECK(sgp_transport_now(transport) >= until);
    CHECK(sgp_transport_now(transport) < start + FAR);
    finish(transport);
}

static void test_pause(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(2);
    run_transports(&setup, pauses, NULL);
}

/* ---- room; for the transports that bound it ---- */

static void receive_elements(sgp_transport_t *transport, size_t elements) {
    sgp_chunk_t chunk;
    for (size_t left = elements; left > 0 && receive_chunk(transport, &chunk);) {
        check_payload(&chunk);
        left -= chunk.header.elements;
        sgp_transport_release(transport, &chunk);
    }
}

/* Promises for which no machine has the memory are refused. */
static void ask_for_too_much(sgp_transport_t *transport) {
    const size_t absurd[] = {SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 50};
    uint64_t promised = transport->promised;
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        CHECK(sgp_transport_prepare(transport, absurd[i], 1) == SGP_ERR_NO_MEMORY);
        CHECK(sgp_transport_prepare(transport, absurd[i], UINT32_MAX) == SGP_ERR_NO_MEMORY);
    }
    CHECK(transport->promised == promised);
    pthread_mutex_lock(&ranks_log_lock);
    CHECK(strstr(ranks_last_error, "GiB: this machine has"));
    pthread_mutex_unlock(&ranks_log_lock);
}

/* A refused promise changes nothing, and a promise that was taken back can be made again. */
static inline void asks_for_too_much(sgp_transport_t *transport, void *context) {
    (void)context;
    enum { STEPS = 20 };
    sgp_destination_t to = {1, 1};
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    uint64_t promised = transport->promised;
    for (uint64_t step = 0; step < STEPS && transport->rank == 0; step++) {
        ask_for_too_much(transport);
        CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 3) == SGP_OK);
        CHECK(transport->promised > promised);
        CHECK(send_vector(transport, &to, 1, step, ELEMENTS));
        sgp_transport_unprepare(transport, ELEMENTS * sizeof(float), 3);
        CHECK(transport->promised == promised);
    }
    if (transport->rank == 1) receive_elements(transport, STEPS * ELEMENTS);
    finish(transport);
}

static inline void test_too_much_room(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(2);
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    run_transports(&setup, asks_for_too_much, NULL);
    sgp_log_set(NULL, NULL, 0);
}

/* More chunks under way at a time than 16 bits can count, promised after the ranks have met, while
 * earlier ones are under way. */
#define MANY_CHUNKS ((size_t)70000)

static inline void sends_many_chunks(sgp_transport_t *transport, void *context) {
    (void)context;
    size_t elements = MANY_CHUNKS * CHUNK / sizeof(float);
    sgp_destination_t to[] = {{1, 1}, {2, 0.5}};
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    if (transport->rank == 0) CHECK(send_vector(transport, to, 2, 0, ELEMENTS));
    CHECK(sgp_transport_prepare(transport, elements * sizeof(float), 1) == SGP_OK);
    if (transport->rank == 0) {
        CHECK(send_vector(transport, to, 2, 1, elements));
        CHECK(send_vector(transport, to, 2, 2, ELEMENTS)); /* once there is room again */
        finish(transport);
        return;
    }
    sgp_chunk_t *held = calloc(MANY_CHUNKS + 100, sizeof *held);
    size_t count = 0;
    for (size_t left = ELEMENTS + elements; left > 0; count++) {
        if (!receive_chunk(transport, &held[count])) break;
        CHECK(held[count].header.weight == to[transport->rank - 1].weight);
        left -= held[count].header.elements;
    }
    for (size_t i = 0; i < count; i++) {
        check_payload(&held[i]);
        sgp_transport_release(transport, &held[i]);
    }
    receive_elements(transport, ELEMENTS);
    free(held);
    finish(transport);
}

static inline void test_many_chunks(void **state) {
    (void)state;
    ranks_setup_t setup = SETUP(3);
    run_transports(&setup, sends_many_chunks, NULL);
}

static inline int run_conformance(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_to_all),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_little_room),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_leave),
        cmocka_unit_test(test_agent),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_abandon),
        cmocka_unit_test(test_leave_in_the_middle),
        cmocka_unit_test(test_end),
#ifndef LOSSES_END_THE_JOB
        cmocka_unit_test(test_fates),
        cmocka_unit_test(test_elastic),
        cmocka_unit_test(test_lost_in_the_middle),
#endif
    };
    return cmocka_run_group_tests_name("conformance", tests, NULL, NULL);
}

#endif
