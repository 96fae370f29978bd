/* SPDX-License-Identifier: Apache-2.0 */
/* Newcomers in virtual time: a rank that works invites one and starts its thread, and the same seed gives the same run,
 * arrival by arrival. */
#include "ranks.h"
#include "transport/vectors.h"

#include <xxhash.h>

enum { SIZE = 3, GUEST = 3, ROUNDS = 20, INVITED_IN = 6, ELEMENTS_EACH = 100 };

typedef struct run {
    sgp_loopback_t *hub;
    pthread_t guest;
    uint64_t seen[SIZE + 1]; /* hash of the arrivals of each rank, in order, with their times */
} run_t;

static void note(run_t *run, const sgp_transport_t *transport, const sgp_chunk_t *chunk,
                 uint64_t now) {
    uint64_t what[5] = {run->seen[transport->rank], now, (uint64_t)chunk->header.src,
                        chunk->header.step, chunk->header.offset};
    run->seen[transport->rank] = XXH3_64bits(what, sizeof what);
}

/* Sends to all that are present, and takes what has come within a millisecond. */
static void round_of(run_t *run, sgp_transport_t *transport, uint64_t step) {
    uint64_t end = sgp_transport_now(transport) + 1000000;
    sgp_chunk_t chunk;
    for (int r = 0; r <= SIZE; r++) {
        sgp_destination_t to = {r, 0.25};
        if (r != transport->rank && sgp_fates_of(transport->fates, r).state == SGP_FATE_PRESENT)
            CHECK(send_vector(transport, &to, 1, step, ELEMENTS_EACH));
    }
    while (sgp_transport_now(transport) < end) {
        while (sgp_transport_receive(transport, &chunk) == SGP_OK) {
            note(run, transport, &chunk, sgp_transport_now(transport));
            check_payload(&chunk);
            sgp_transport_release(transport, &chunk);
        }
        sgp_transport_wait(transport, end);
    }
}

typedef struct guest {
    run_t *run;
    sgp_transport_t *transport;
} guest_t;

static void *guest_main(void *argument) {
    guest_t *guest = argument;
    for (uint64_t step = INVITED_IN; step < ROUNDS; step++)
        round_of(guest->run, guest->transport, step);
    finish(guest->transport);
    free(guest);
    return NULL;
}

static void invite(run_t *run) {
    guest_t *guest = malloc(sizeof *guest);
    guest->run = run;
    CHECK(sgp_loopback_join(run->hub, GUEST, &guest->transport) == SGP_OK);
    CHECK(pthread_create(&run->guest, NULL, guest_main, guest) == 0);
}

static void *host_main(void *argument) {
    const ranks_thread_t *thread = argument;
    run_t *run = thread->context;
    sgp_transport_t *transport = sgp_loopback_transport(run->hub, thread->rank);
    transport->elastic = true;
    for (uint64_t step = 0; step < ROUNDS; step++) {
        if (step == INVITED_IN && thread->rank == 0) invite(run);
        /* In the same round on each rank, a different time after the invitation. */
        if (step == INVITED_IN + 1 + (uint64_t)thread->rank)
            CHECK(sgp_transport_open(transport, GUEST, 0, NULL) == SGP_OK);
        round_of(run, transport, step);
    }
    finish(transport);
    return NULL;
}

static run_t run_with(uint64_t seed) {
    run_t run = {.hub = NULL};
    sgp_loopback_options_t options = {.size = SIZE,
                                      .seats = SIZE + 1,
                                      .chunk_bytes = 64,
                                      .virtual_time = true,
                                      .seed = seed,
                                      .delay_min_ns = 10000,
                                      .delay_max_ns = 900000};
    pthread_t threads[SIZE];
    ranks_thread_t hosts[SIZE];
    atomic_store(&ranks_failures, 0);
    assert_int_equal(sgp_loopback_create(&options, &run.hub), SGP_OK);
    for (int r = 0; r < SIZE; r++) {
        hosts[r] = (ranks_thread_t){.rank = r, .context = &run};
        assert_int_equal(pthread_create(&threads[r], NULL, host_main, &hosts[r]), 0);
    }
    for (int r = 0; r < SIZE; r++) pthread_join(threads[r], NULL);
    pthread_join(run.guest, NULL);
    sgp_loopback_destroy(run.hub);
    assert_int_equal(atomic_load(&ranks_failures), 0);
    return run;
}

static void test_same_seed_same_run(void **state) {
    (void)state;
    run_t first = run_with(1), other = run_with(2);
    for (int i = 0; i < 5; i++) {
        run_t again = run_with(1);
        assert_memory_equal(again.seen, first.seen, sizeof first.seen);
    }
    assert_memory_not_equal(other.seen, first.seen, sizeof first.seen);
    for (int r = 0; r <= SIZE; r++) assert_true(first.seen[r] != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_seed_same_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
