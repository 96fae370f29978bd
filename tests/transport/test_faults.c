/* SPDX-License-Identifier: Apache-2.0 */
/* The faults of loopback: ranks that die or stand still, and links that are cut, in virtual time. */
#include <stdbool.h>

#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .loopback = {.size = (ranks) }                                                             \
    }
#include "transport/elastic_cases.h"

#define MS ((uint64_t)1000000)

enum { RANKS = 3, STEPS = 2 };

typedef struct record {
    int chunks[RANKS];     /* received from each */
    int returned;          /* messages, to rank 0 */
    int whole;             /* messages that the receiver released */
    uint64_t first[RANKS]; /* when the first chunk of each came */
    uint64_t last[RANKS];  /* and the last one */
    uint64_t lost[RANKS];  /* when a rank that lived to the end saw the loss of each */
    uint64_t calls[RANKS];
    uint64_t woke;
} record_t;

static void run_faults(const sgp_loopback_fault_t *faults, int count, int size,
                       void (*body)(sgp_transport_t *transport, void *context), record_t *record) {
    ranks_setup_t setup = {.loopback = {.size = size,
                                        .chunk_bytes = CHUNK,
                                        .virtual_time = true,
                                        .seed = 5,
                                        .delay_min_ns = MS,
                                        .delay_max_ns = 3 * MS,
                                        .faults = faults,
                                        .fault_count = count}};
    memset(record, 0, sizeof *record);
    run_transports(&setup, body, record);
}

/* Takes what comes until `end`, notes when, and which ranks are lost by then. */
static void listen_until(sgp_transport_t *transport, uint64_t end, record_t *record) {
    sgp_chunk_t chunk;
    int of_message[STEPS] = {0};
    while (sgp_transport_wait(transport, end) == SGP_OK) {
        while (sgp_transport_receive(transport, &chunk) == SGP_OK) {
            int src = chunk.header.src;
            check_payload(&chunk);
            if (!record->chunks[src]++) record->first[src] = sgp_transport_now(transport);
            record->last[src] = sgp_transport_now(transport);
            uint64_t step = chunk.header.step;
            sgp_transport_release(transport, &chunk);
            bool dead = sgp_transport_now(transport) == UINT64_MAX;
            if (!dead && step < STEPS && ++of_message[step] == CHUNKS_OF_VECTOR) record->whole++;
        }
        for (int r = 0; r < transport->size; r++)
            if (!record->lost[r] && sgp_fates_of(transport->fates, r).state == SGP_FATE_LOST)
                record->lost[r] = sgp_transport_now(transport);
    }
}

/* Sends STEPS messages to rank 1, as far as it lives. */
static void send_steps(sgp_transport_t *transport) {
    sgp_destination_t to = {1, 0.5};
    for (uint64_t step = 0; step < STEPS; step++)
        if (!send_vector(transport, &to, 1, step, ELEMENTS)) return;
}

/* ---- kills ---- */

static void push_to_1(sgp_transport_t *transport, void *context) {
    record_t *record = context;
    sgp_returned_t returned;
    transport->elastic = true;
    if (transport->rank == 0) send_steps(transport);
    if (transport->rank == 1) listen_until(transport, 50 * MS, record);
    else
        while (sgp_transport_wait(transport, 50 * MS) == SGP_OK) {
        }
    while (sgp_transport_take_back(transport, PUSH_CHANNEL, &returned)) {
        CHECK(returned.dst == 1 && returned.weight == 0.5);
        record->returned++;
    }
    record->calls[transport->rank] = sgp_loopback_calls(transport);
    finish(transport);
}

/* All others learn of it at that time; chunks that it had committed arrive afterwards. */
static void test_kill_at_a_time(void **state) {
    (void)state;
    record_t record;
    sgp_loopback_fault_t fault = {.kind = SGP_FAULT_KILL, .seat = 0, .from_ns = MS / 2};
    run_faults(&fault, 1, 2, push_to_1, &record);
    assert_int_equal(record.lost[0], MS / 2);
    assert_int_equal(record.chunks[0], STEPS * CHUNKS_OF_VECTOR);
    assert_true(record.first[0] >= MS && record.last[0] > record.first[0]);
    fault.from_ns = 60 * MS; /* it has left by then */
    run_faults(&fault, 1, 2, push_to_1, &record);
    assert_int_equal(record.lost[0], 0);
}

/* A sender that dies at any of its calls: the chunks that it had committed arrive, and no others. The calls of a message
 * are begin, and next and commit for each chunk. */
static void test_kill_the_sender_at_each_call(void **state) {
    (void)state;
    enum { CALLS = 1 + 2 * CHUNKS_OF_VECTOR };
    record_t record, again;
    run_faults(NULL, 0, 2, push_to_1, &record);
    assert_int_equal(record.whole, STEPS);
    assert_true(record.calls[0] > STEPS * CALLS);
    for (uint64_t call = 1; call <= STEPS * CALLS; call++) {
        sgp_loopback_fault_t fault = {.kind = SGP_FAULT_KILL_AT_CALL, .seat = 0, .call = call};
        run_faults(&fault, 1, 2, push_to_1, &record);
        uint64_t before = call - 1, messages = before / CALLS, rest = before % CALLS;
        uint64_t commits = rest ? (rest - 1) / 2 : 0;
        assert_int_equal(record.chunks[0], messages * CHUNKS_OF_VECTOR + commits);
        run_faults(&fault, 1, 2, push_to_1, &again);
        assert_memory_equal(&record, &again, sizeof record);
    }
}

/* A receiver that dies at any of its calls: each message is either released by it as a whole, or comes back. */
static void test_kill_the_receiver_at_each_call(void **state) {
    (void)state;
    record_t record;
    run_faults(NULL, 0, 2, push_to_1, &record);
    assert_int_equal(record.returned, 0);
    int some = 0;
    for (uint64_t call = 1, calls = record.calls[1]; call <= calls; call++) {
        sgp_loopback_fault_t fault = {.kind = SGP_FAULT_KILL_AT_CALL, .seat = 1, .call = call};
        run_faults(&fault, 1, 2, push_to_1, &record);
        assert_int_equal(record.whole + record.returned, STEPS);
        some += record.returned == 1;
    }
    assert_true(some > 0);
}

static void agent_waits(void *context) {
    sgp_transport_t *transport = context;
    while (sgp_transport_wait(transport, UINT64_MAX) != SGP_ERR_PEER_LOST) {
    }
}

/* Rank 1 is killed while its agent waits and its first context pauses: both come to their end. */
static void with_agent_killed(sgp_transport_t *transport, void *context) {
    record_t *record = context;
    transport->elastic = true;
    if (transport->rank == 1) {
        CHECK(sgp_transport_agent_start(transport, agent_waits, transport) == SGP_OK);
        sgp_transport_lock(transport);
        while (sgp_transport_now(transport) < 20 * MS) sgp_transport_pause(transport, 20 * MS);
        sgp_transport_unlock(transport);
        CHECK(sgp_transport_now(transport) == UINT64_MAX);
        sgp_transport_agent_join(transport);
    } else {
        listen_until(transport, 30 * MS, record);
    }
    finish(transport);
}

static void test_kill_with_an_agent(void **state) {
    (void)state;
    record_t record;
    sgp_loopback_fault_t fault = {.kind = SGP_FAULT_KILL, .seat = 1, .from_ns = 7 * MS};
    run_faults(&fault, 1, 2, with_agent_killed, &record);
    assert_int_equal(record.lost[1], 7 * MS);
}

/* ---- stalls ---- */

/* Rank 1 sleeps until 4 ms, and listens then. */
static void sleep_and_listen(sgp_transport_t *transport, void *context) {
    record_t *record = context;
    if (transport->rank == 0) send_steps(transport);
    if (transport->rank == 1) {
        sgp_transport_lock(transport);
        while (sgp_transport_now(transport) < 4 * MS) sgp_transport_pause(transport, 4 * MS);
        sgp_transport_unlock(transport);
        record->woke = sgp_transport_now(transport);
        listen_until(transport, 50 * MS, record);
    }
    finish(transport);
}

static void test_stall(void **state) {
    (void)state;
    record_t record;
    run_faults(NULL, 0, 2, sleep_and_listen, &record);
    assert_int_equal(record.woke, 4 * MS);
    sgp_loopback_fault_t stalls[] = {
        {.kind = SGP_FAULT_STALL, .seat = 1, .from_ns = 2 * MS, .length_ns = 5 * MS},
        {.kind = SGP_FAULT_STALL, .seat = 1, .from_ns = 6 * MS, .length_ns = 9 * MS}};
    run_faults(stalls, 1, 2, sleep_and_listen, &record);
    assert_int_equal(record.woke, 7 * MS);
    run_faults(stalls, 2, 2, sleep_and_listen, &record);
    assert_int_equal(record.woke, 15 * MS);
    assert_int_equal(record.chunks[0], STEPS * CHUNKS_OF_VECTOR);
    assert_int_equal(record.last[0], 15 * MS); /* they came meanwhile */
}

/* Others go on while a rank stands still for good; it comes to its end as well. */
static void test_stall_for_good(void **state) {
    (void)state;
    record_t record;
    sgp_loopback_fault_t stall = {
        .kind = SGP_FAULT_STALL, .seat = 0, .from_ns = 0, .length_ns = SGP_FOR_GOOD};
    run_faults(&stall, 1, 3, push_to_1, &record);
    assert_int_equal(record.chunks[0], STEPS * CHUNKS_OF_VECTOR); /* sent before it slept */
    assert_int_equal(record.lost[0], 0);
}

/* ---- cuts ---- */

/* Ranks 0 and 1 send to each other at 0 and at 10 ms; both listen to the end. */
static void exchange(sgp_transport_t *transport, void *context) {
    record_t *records = context;
    sgp_destination_t to = {1 - transport->rank, 1};
    record_t own = {.whole = 0};
    for (uint64_t step = 0; step < 2; step++) {
        CHECK(send_vector(transport, &to, 1, step, 16));
        listen_until(transport, step ? 100 * MS : 10 * MS, &own);
    }
    records->chunks[transport->rank] = own.chunks[1 - transport->rank];
    records->first[transport->rank] = own.first[1 - transport->rank];
    records->last[transport->rank] = own.last[1 - transport->rank];
    finish(transport);
}

static record_t cut(sgp_fault_kind_t kind, uint64_t from, uint64_t length) {
    record_t record;
    sgp_loopback_fault_t fault = {
        .kind = kind, .seat = 0, .other = 1, .from_ns = from, .length_ns = length};
    run_faults(&fault, 1, 2, exchange, &record);
    return record;
}

static void test_cut(void **state) {
    (void)state;
    record_t whole = cut(SGP_FAULT_CUT, 90 * MS, MS), one, both, good;
    for (int r = 0; r < 2; r++) {
        assert_int_equal(whole.chunks[r], 2);
        assert_in_range(whole.first[r], MS, 3 * MS);
        assert_in_range(whole.last[r], 11 * MS, 13 * MS);
    }
    one = cut(SGP_FAULT_CUT, MS / 2, 20 * MS); /* from 0 to 1: under way, and sent later */
    assert_int_equal(one.chunks[1], 2);
    assert_in_range(one.first[1], 20 * MS + MS / 2 + MS, 20 * MS + MS / 2 + 3 * MS);
    assert_int_equal(one.first[0], whole.first[0]);
    assert_int_equal(one.last[0], whole.last[0]);
    both = cut(SGP_FAULT_CUT_BOTH, MS / 2, 20 * MS);
    assert_in_range(both.first[0], 20 * MS + MS / 2 + MS, 20 * MS + MS / 2 + 3 * MS);
    assert_int_equal(both.first[1], one.first[1]);
    good = cut(SGP_FAULT_CUT_BOTH, 5 * MS, SGP_FOR_GOOD);
    assert_int_equal(good.chunks[0], 1);
    assert_int_equal(good.chunks[1], 1);
}

/* ---- options ---- */

static void test_bad_faults(void **state) {
    (void)state;
    sgp_loopback_fault_t bad[] = {{.kind = SGP_FAULT_KILL, .seat = 2},
                                  {.kind = SGP_FAULT_STALL, .seat = -1},
                                  {.kind = SGP_FAULT_CUT, .seat = 0, .other = 2}};
    sgp_loopback_options_t options = {.size = 2, .virtual_time = true, .fault_count = 1};
    sgp_loopback_t *hub = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options.faults = &bad[i];
        assert_int_equal(sgp_loopback_create(&options, &hub), SGP_ERR_INVALID);
    }
    sgp_loopback_fault_t fine = {.kind = SGP_FAULT_KILL, .seat = 1};
    options = (sgp_loopback_options_t){.size = 2, .faults = &fine, .fault_count = 1};
    assert_int_equal(sgp_loopback_create(&options, &hub), SGP_ERR_INVALID); /* real time */
    assert_null(hub);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_at_a_time),
        cmocka_unit_test(test_kill_the_sender_at_each_call),
        cmocka_unit_test(test_kill_the_receiver_at_each_call),
        cmocka_unit_test(test_kill_with_an_agent),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_stall_for_good),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_bad_faults),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
