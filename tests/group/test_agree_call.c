/* SPDX-License-Identifier: Apache-2.0 */
/* Agree, barrier and gather of elastic groups, over real transports; ranks are threads. A rank dies at its m-th message,
 * for every m: the others come to one result, with its payload or without. */
#include "ranks.h"

#include "base/constants.h"
#include "group/agree_call.h"
#include "group/seats.h"

#include <string.h>

enum { MOST = 4, CALLS = 3, LENGTH = 200 };

static size_t payload_of(int rank, int call, unsigned char *payload) {
    size_t bytes = (size_t)(rank * 67 + call * 41) % (LENGTH + 1);
    memset(payload, rank * 16 + call, bytes);
    return bytes;
}

/* ---- without losses ---- */

static void agree(sgp_group_t *group, void *context) {
    (void)context;
    unsigned char mine[LENGTH], theirs[LENGTH];
    int size = sgp_group_size(group);
    CHECK(sgp_group_become_elastic(group) == SGP_OK);
    for (int call = 1; call <= 5; call++) {
        sgp_agree_result_t result;
        size_t bytes = payload_of(sgp_group_rank(group), call, mine), found;
        CHECK(sgp_group_agree(group, mine, bytes, &result) == SGP_OK);
        CHECK(result.call == (uint64_t)call && result.members == size);
        for (int r = 0; r < size; r++) {
            const void *payload = sgp_agree_payload(&result, r, &found);
            CHECK(payload && found == payload_of(r, call, theirs));
            CHECK(payload && memcmp(payload, theirs, found) == 0);
        }
    }
}

static void gather(sgp_group_t *group, void *context) {
    (void)context;
    int size = sgp_group_size(group), rank = sgp_group_rank(group);
    static _Thread_local unsigned char largest[SGP_GATHER_BYTES], all_largest[6][SGP_GATHER_BYTES];
    CHECK(sgp_group_become_elastic(group) == SGP_OK);
    for (int call = 0; call < 5; call++) {
        int mine[3] = {rank, call, rank * call}, all[RANKS_MOST][3];
        CHECK(sgp_group_gather(group, mine, sizeof mine, all) == SGP_OK);
        for (int r = 0; r < size; r++) {
            CHECK(sgp_group_took_part(group, r));
            CHECK(all[r][0] == r && all[r][1] == call && all[r][2] == r * call);
        }
        CHECK(sgp_group_barrier(group) == SGP_OK);
    }
    memset(largest, rank + 1, sizeof largest);
    CHECK(sgp_group_gather(group, largest, sizeof largest, all_largest) == SGP_OK);
    for (int r = 0; r < size; r++)
        CHECK(all_largest[r][0] == r + 1 && all_largest[r][sizeof largest - 1] == r + 1);
}

/* No rank passes a barrier before all have reached it. */
static void barrier(sgp_group_t *group, void *context) {
    atomic_int *arrived = context;
    CHECK(sgp_group_become_elastic(group) == SGP_OK);
    for (int call = 1; call <= 20; call++) {
        atomic_fetch_add(arrived, 1);
        CHECK(sgp_group_barrier(group) == SGP_OK);
        CHECK(atomic_load(arrived) >= call * sgp_group_size(group));
    }
}

static void test_all_transports(void **state) {
    (void)state;
    static const int sizes[] = {1, 2, 3, 6};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int size = sizes[s];
        /* With a capacity a rank has room for one message at a time. */
        ranks_setup_t setups[] = {{.loopback = {.size = size, .chunk_bytes = 64}},
                                  {.loopback = {.size = size, .chunk_bytes = 64, .capacity = 6}},
                                  {.loopback = {.size = size,
                                                .chunk_bytes = 64,
                                                .virtual_time = true,
                                                .delay_max_ns = 1000000,
                                                .seed = 9}},
                                  {.shm = true, .loopback = {.size = size}},
                                  {.tcp = true, .loopback = {.size = size}}};
        for (size_t i = 0; i < sizeof setups / sizeof *setups - (size == 1); i++) {
            atomic_int arrived = 0;
            run_groups(&setups[i], agree, NULL);
            run_groups(&setups[i], gather, NULL);
            if (!setups[i].loopback.virtual_time) run_groups(&setups[i], barrier, &arrived);
        }
    }
}

static void refused(sgp_group_t *group, void *context) {
    (void)context;
    static unsigned char all[2 * (SGP_GATHER_BYTES + 1)];
    sgp_agree_result_t result;
    CHECK(sgp_group_agree(group, all, 1, &result) == SGP_ERR_INVALID); /* not elastic */
    CHECK(sgp_group_become_elastic(group) == SGP_OK);
    CHECK(sgp_group_agree(group, all, SGP_GATHER_BYTES + 1, &result) == SGP_ERR_INVALID);
    CHECK(sgp_group_gather(group, all, 0, all) == SGP_ERR_INVALID);
    CHECK(sgp_group_gather(group, "abc", sgp_group_rank(group) ? 2 : 1, all) == SGP_ERR_MISMATCH);
    CHECK(sgp_group_agree(group, "", 0, &result) == SGP_OK && result.members == 2);
}

static void test_refusals(void **state) {
    (void)state;
    run_groups(&(ranks_setup_t){.loopback = {.size = 2}}, refused, NULL);
}

/* A rank that does not come to the call, nor leave: the others give up at their time limit, in virtual time. */
static void silent(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_group_t *group = NULL;
    uint64_t later = 10 * SGP_SECOND;
    CHECK(sgp_group_create(transport, 3000, &group) == SGP_OK);
    CHECK(sgp_group_become_elastic(group) == SGP_OK);
    if (transport->rank == 2) {
        sgp_transport_lock(transport);
        while (sgp_transport_now(transport) < later) sgp_transport_pause(transport, later);
        sgp_transport_unlock(transport);
    } else {
        CHECK(sgp_group_barrier(group) == SGP_ERR_TIMEOUT);
        CHECK(sgp_transport_now(transport) == 3 * SGP_SECOND);
    }
    sgp_group_leave(group);
}

static void test_silent_rank(void **state) {
    (void)state;
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    run_transports(&(ranks_setup_t){.loopback = {.size = 3, .virtual_time = true}}, silent, NULL);
    assert_string_equal(ranks_last_error,
                        "gave up waiting for the message of a collective call from node 2");
    sgp_log_set(NULL, NULL, 0);
}

/* ---- deaths ---- */

/* A rank that dies after so many messages: sent, to one rank each, or received. */
typedef struct mortal {
    const sgp_transport_ops_t *ops; /* of its transport */
    sgp_transport_ops_t wrapped;
    int left; /* messages; -1: it does not die */
    bool dead;
} mortal_t;

typedef struct deaths {
    int size, calls;
    bool leave;                 /* at once, instead of staying until all survivors have returned */
    atomic_int ended;           /* ranks that have returned from the last call, or died */
    uint32_t sets[MOST][CALLS]; /* by rank */
    bool died[MOST];
} deaths_t;

static mortal_t mortals[MOST];

static mortal_t *mortal_of(const sgp_transport_t *transport) {
    return &mortals[transport->rank];
}

static sgp_status_t mortal_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                      const sgp_destination_t *to, int destinations,
                                      sgp_send_t *send) {
    mortal_t *mortal = mortal_of(transport);
    if (mortal->left >= 0 && destinations > mortal->left) {
        destinations = mortal->left;
        mortal->dead = true;
        if (!destinations) return SGP_ERR_SYSTEM;
    }
    sgp_status_t status = mortal->ops->send_begin(transport, header, to, destinations, send);
    if (status == SGP_OK && mortal->left > 0) mortal->left -= destinations;
    return status;
}

static sgp_status_t mortal_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    mortal_t *mortal = mortal_of(transport);
    if (mortal->left == 0) mortal->dead = true;
    if (mortal->dead) return SGP_ERR_AGAIN;
    sgp_status_t status = mortal->ops->receive(transport, chunk);
    if (status == SGP_OK && mortal->left > 0) mortal->left--;
    return status;
}

static sgp_status_t mortal_wait(sgp_transport_t *transport, uint64_t deadline) {
    mortal_t *mortal = mortal_of(transport);
    return mortal->dead ? SGP_ERR_SYSTEM : mortal->ops->wait(transport, deadline);
}

static void make_mortal(sgp_transport_t *transport) {
    mortal_t *mortal = mortal_of(transport);
    mortal->ops = transport->ops;
    mortal->wrapped = *transport->ops;
    mortal->wrapped.send_begin = mortal_send_begin;
    mortal->wrapped.receive = mortal_receive;
    mortal->wrapped.wait = mortal_wait;
    transport->ops = &mortal->wrapped;
}

/* All payloads are those of their ranks. */
static uint32_t set_of(const sgp_agree_result_t *result, int size) {
    unsigned char expected[LENGTH];
    size_t bytes = 0;
    uint32_t set = 0;
    for (int r = 0; r < size; r++) {
        const void *payload = sgp_agree_payload(result, r, &bytes);
        if (!payload) continue;
        set |= 1u << r;
        CHECK(bytes == payload_of(r, (int)result->call, expected));
        CHECK(memcmp(payload, expected, bytes) == 0);
    }
    return set;
}

static bool is_killed(const sgp_transport_t *transport) {
    return sgp_fates_of(transport->fates, transport->rank).state == SGP_FATE_LOST;
}

/* Waits as a mixer does, for something else than a collective call. */
static void stay(sgp_group_t *group, const deaths_t *deaths) {
    sgp_inbox_t *inbox = sgp_group_inbox(group);
    sgp_transport_t *transport = sgp_group_transport(group);
    while (atomic_load(&deaths->ended) < deaths->size && !is_killed(transport)) {
        CHECK(sgp_inbox_look(inbox, false) == SGP_OK);
        sgp_inbox_collect(inbox);
        sgp_transport_lock(transport);
        sgp_transport_pause(transport, sgp_transport_now(transport) + SGP_MILLISECOND);
        sgp_transport_unlock(transport);
    }
}

static void live_or_die(sgp_transport_t *transport, void *context) {
    deaths_t *deaths = context;
    int rank = transport->rank;
    bool in_hub = transport->virtual_time; /* which owns the transport */
    unsigned char payload[LENGTH];
    sgp_group_t *group = NULL;
    make_mortal(transport);
    CHECK(sgp_group_create(transport, 60000, &group) == SGP_OK);
    CHECK(sgp_group_become_elastic(group) == SGP_OK);
    sgp_status_t status = SGP_OK;
    for (int call = 1; call <= deaths->calls && status == SGP_OK; call++) {
        sgp_agree_result_t result;
        status = sgp_group_agree(group, payload, payload_of(rank, call, payload), &result);
        if (status == SGP_OK) deaths->sets[rank][call - 1] = set_of(&result, deaths->size);
    }
    deaths->died[rank] = mortals[rank].dead || is_killed(transport);
    CHECK(status == SGP_OK || deaths->died[rank]);
    mortals[rank].left = -1; /* it has survived the calls */
    atomic_fetch_add(&deaths->ended, 1);
    if (!deaths->died[rank] && !deaths->leave) stay(group, deaths);
    if (deaths->died[rank]) sgp_group_abort(group);
    else sgp_group_leave(group);
    if (in_hub) deaths->died[rank] |= is_killed(transport);
}

static void check_survivors(const deaths_t *deaths) {
    uint32_t survivors = 0;
    int first = -1;
    for (int r = 0; r < deaths->size; r++) {
        if (deaths->died[r]) continue;
        survivors |= 1u << r;
        if (first < 0) first = r;
    }
    for (int r = 0; r < deaths->size; r++)
        for (int call = 0; call < deaths->calls && !deaths->died[r]; call++) {
            assert_int_equal(deaths->sets[r][call], deaths->sets[first][call]);
            assert_int_equal(deaths->sets[r][call] & survivors, survivors);
        }
}

/* lives: (size) messages of each rank, -1: for ever. Returns the number of ranks that have died. */
static int run_deaths(const ranks_setup_t *setup, const int *lives, bool leave) {
    deaths_t deaths = {.size = setup->loopback.size, .calls = CALLS, .leave = leave};
    int died = 0;
    for (int r = 0; r < deaths.size; r++) mortals[r] = (mortal_t){.left = lives[r]};
    run_transports(setup, live_or_die, &deaths);
    check_survivors(&deaths);
    for (int r = 0; r < deaths.size; r++) died += deaths.died[r];
    return died;
}

/* With an odd seed a rank has room for one message at a time. */
static ranks_setup_t delayed(int size, uint64_t seed) {
    return (ranks_setup_t){.loopback = {.size = size,
                                        .chunk_bytes = 64,
                                        .capacity = seed % 2 ? 6 : 0,
                                        .virtual_time = true,
                                        .delay_max_ns = 20 * SGP_MILLISECOND,
                                        .seed = seed}};
}

/* Every rank, at every message. */
static void test_death_at_each_message(void **state) {
    (void)state;
    for (int size = 2; size <= MOST; size++)
        for (int victim = 0; victim < size; victim++) {
            int lives[MOST] = {-1, -1, -1, -1};
            ranks_setup_t setup = delayed(size, (uint64_t)(size * 10 + victim));
            for (lives[victim] = 0; run_deaths(&setup, lives, false); lives[victim]++) {
            }
            assert_true(lives[victim] >= 2 * CALLS * (size - 1));
            for (lives[victim] = 0; run_deaths(&setup, lives, true); lives[victim]++) {
            }
        }
}

/* In real time: the orders are those of the machine. */
static void test_death_in_real_time(void **state) {
    (void)state;
    ranks_setup_t setups[] = {{.loopback = {.size = 3}}, {.shm = true, .loopback = {.size = 3}}};
    for (int m = 0; m < 12; m += 3) {
        int lives[MOST] = {-1, m, -1, -1};
        for (size_t i = 0; i < sizeof setups / sizeof *setups; i++)
            assert_int_equal(run_deaths(&setups[i], lives, m % 2), 1);
    }
}

/* Two of four, and three. */
static void test_several_deaths(void **state) {
    (void)state;
    for (int m = 0; m < 250; m++) {
        int lives[MOST] = {-1, m % 13, m / 13 % 17, m % 5 ? -1 : m % 11};
        ranks_setup_t setup = delayed(MOST, (uint64_t)m);
        assert_in_range(run_deaths(&setup, lives, m % 2), 2, 3);
    }
}

/* One is killed at its call number `call` of the transport, and perhaps the next one at some call. false: no rank was. */
static bool kill_at(int size, int victim, uint64_t call, bool two) {
    static const int lives[MOST] = {-1, -1, -1, -1};
    ranks_setup_t setup = delayed(size, call);
    sgp_loopback_fault_t faults[] = {
        {.kind = SGP_FAULT_KILL_AT_CALL, .seat = victim, .call = call},
        {.kind = SGP_FAULT_KILL_AT_CALL, .seat = (victim + 1) % size, .call = 1 + call * 19 % 150}};
    setup.loopback.faults = faults;
    setup.loopback.fault_count = two ? 2 : 1;
    return run_deaths(&setup, lives, call % 2) > 0;
}

static void test_kill_at_each_call(void **state) {
    enum { MOST_CALLS = 1000 };
    (void)state;
    for (int size = 3; size <= MOST; size++)
        for (int victim = 0; victim < size; victim++) {
            uint64_t call = 1;
            for (; kill_at(size, victim, call, false); call++) assert_true(call < MOST_CALLS);
            assert_true(call > 10);
            for (; --call;) kill_at(size, victim, call, true);
        }
}

/* The value of a rank that died before the call is zeros, and it did not take part. */
static void gather_without(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_group_t *group = NULL;
    CHECK(sgp_group_create(transport, 60000, &group) == SGP_OK);
    CHECK(sgp_group_become_elastic(group) == SGP_OK);
    if (transport->rank == 1) {
        sgp_group_abort(group);
        return;
    }
    int mine = 7, all[3] = {9, 9, 9};
    CHECK(sgp_group_gather(group, &mine, sizeof mine, all) == SGP_OK);
    for (int r = 0; r < 3; r++) CHECK(sgp_group_took_part(group, r) == (r != 1));
    CHECK(all[0] == 7 && all[1] == 0 && all[2] == 7);
    CHECK(sgp_group_barrier(group) == SGP_OK);
    sgp_group_leave(group);
}

static void test_gather_of_survivors(void **state) {
    (void)state;
    ranks_setup_t setups[] = {{.loopback = {.size = 3}},
                              {.shm = true, .loopback = {.size = 3}},
                              {.tcp = true, .loopback = {.size = 3}}};
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++)
        run_transports(&setups[i], gather_without, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_transports),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_silent_rank),         cmocka_unit_test(test_death_at_each_message),
        cmocka_unit_test(test_death_in_real_time),  cmocka_unit_test(test_several_deaths),
        cmocka_unit_test(test_gather_of_survivors), cmocka_unit_test(test_kill_at_each_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
