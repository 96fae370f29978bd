/* SPDX-License-Identifier: Apache-2.0 */
/* The flight recorder keeps the last events, in order, from several writers, beside a reader; waits survive the ring. */
#include "cmocka_all.h"

#include "base/flight.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { RANKS = 5 };

static sgp_flight_t *make(void) {
    sgp_flight_t *flight = NULL;
    assert_int_equal(sgp_flight_create(RANKS, &flight), SGP_OK);
    return flight;
}

static size_t read_all(const sgp_flight_t *flight, sgp_flight_context_t context,
                       sgp_flight_event_t *events, uint64_t *before) {
    return sgp_flight_read(flight, context, events, before);
}

static void test_an_event_comes_back_as_it_was(void **state) {
    (void)state;
    static sgp_flight_event_t events[SGP_FLIGHT_EVENTS];
    sgp_flight_t *flight = make();
    uint64_t before = 7, start = sgp_clock_now();
    sgp_flight_note(flight, SGP_FLIGHT_CALLER, SGP_FLIGHT_STEP, -1, 34, UINT64_MAX);
    sgp_flight_detail(flight, SGP_FLIGHT_SENT, 255, 65535, UINT64_MAX, 5);
    assert_int_equal(read_all(flight, SGP_FLIGHT_CALLER, events, &before), 1);
    assert_int_equal(before, 0);
    assert_int_equal(events[0].kind, SGP_FLIGHT_STEP);
    assert_int_equal(events[0].peer, -1);
    assert_int_equal(events[0].step, 34);
    assert_true(events[0].number == UINT64_MAX);
    assert_true(events[0].time >= start && events[0].time <= sgp_clock_now());
    assert_int_equal(read_all(flight, SGP_FLIGHT_MESSAGES, events, &before), 1);
    assert_int_equal(events[0].detail, 255);
    assert_int_equal(events[0].peer, 65535);
    assert_true(events[0].step == UINT64_MAX);
    sgp_flight_destroy(flight);
}

static void test_without_a_recorder_nothing_happens(void **state) {
    (void)state;
    sgp_flight_note(NULL, SGP_FLIGHT_CALLER, SGP_FLIGHT_STEP, 0, 0, 0);
    sgp_flight_detail(NULL, SGP_FLIGHT_SENT, 0, 0, 0, 0);
    sgp_flight_step(NULL, 1, 1);
    sgp_flight_call(NULL, "a");
    sgp_flight_return(NULL, "a", SGP_OK);
    sgp_flight_sleep(NULL, SGP_FLIGHT_CALLER, &(sgp_flight_want_t){.peer = 1}, 1);
    sgp_flight_wake(NULL, SGP_FLIGHT_CALLER, 2, SGP_OK);
    sgp_flight_miss(NULL, 1, true);
    sgp_flight_destroy(NULL);
}

static void test_the_ring_keeps_the_last_ones(void **state) {
    (void)state;
    enum { MORE = 1000, ALL = SGP_FLIGHT_EVENTS + MORE };
    static sgp_flight_event_t events[SGP_FLIGHT_EVENTS];
    sgp_flight_t *flight = make();
    uint64_t before;
    for (uint64_t i = 0; i < ALL; i++)
        sgp_flight_note(flight, SGP_FLIGHT_MESSAGES, SGP_FLIGHT_ABSORBED, 1, i, i);
    assert_int_equal(read_all(flight, SGP_FLIGHT_MESSAGES, events, &before), SGP_FLIGHT_EVENTS);
    assert_int_equal(before, MORE);
    for (size_t i = 0; i < SGP_FLIGHT_EVENTS; i++) assert_int_equal(events[i].step, MORE + i);
    assert_int_equal(read_all(flight, SGP_FLIGHT_CALLER, events, &before), 0);
    sgp_flight_destroy(flight);
}

/* ---- several threads ---- */

enum { EACH = 3 * SGP_FLIGHT_EVENTS };

typedef struct writer {
    sgp_flight_t *flight;
    int peer;
} writer_t;

/* Each event says its number three times, so that one of halves of two would show. */
static void *write_events(void *argument) {
    const writer_t *writer = argument;
    for (uint64_t i = 1; i <= EACH; i++)
        sgp_flight_store(writer->flight, SGP_FLIGHT_MESSAGES, i,
                         sgp_flight_about(SGP_FLIGHT_SENT, (unsigned)(i & 0xff), writer->peer, 0),
                         i, i);
    return NULL;
}

static void check(const sgp_flight_event_t *events, size_t count) {
    uint64_t last[2] = {0, 0};
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(events[i].step, events[i].time);
        assert_int_equal(events[i].number, events[i].time);
        assert_int_equal(events[i].detail, events[i].time & 0xff);
        assert_in_range(events[i].peer, 0, 1);
        assert_true(events[i].time > last[events[i].peer]); /* each writer's in its order */
        last[events[i].peer] = events[i].time;
    }
}

static void test_two_writers_and_a_reader(void **state) {
    (void)state;
    static sgp_flight_event_t events[SGP_FLIGHT_EVENTS];
    sgp_flight_t *flight = make();
    writer_t writers[2] = {{flight, 0}, {flight, 1}};
    pthread_t threads[2];
    uint64_t before = 0;
    for (int t = 0; t < 2; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, write_events, &writers[t]), 0);
    while (before + SGP_FLIGHT_EVENTS < 2 * EACH) {
        size_t count = read_all(flight, SGP_FLIGHT_MESSAGES, events, &before);
        check(events, count);
    }
    for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
    assert_int_equal(read_all(flight, SGP_FLIGHT_MESSAGES, events, &before), SGP_FLIGHT_EVENTS);
    assert_int_equal(before, 2 * EACH - SGP_FLIGHT_EVENTS);
    check(events, SGP_FLIGHT_EVENTS);
    sgp_flight_destroy(flight);
}

/* ---- waits ---- */

static const sgp_flight_want_t first = {SGP_FLIGHT_FOR_MESSAGE, 1, 34},
                               second = {SGP_FLIGHT_FOR_ROOM, 2, 35};

static void test_a_wait_goes_on_over_many_sleeps(void **state) {
    (void)state;
    static sgp_flight_event_t events[SGP_FLIGHT_EVENTS];
    sgp_flight_t *flight = make();
    uint64_t before;
    for (uint64_t t = 100; t < 100 + 3 * SGP_FLIGHT_EVENTS; t += 2) {
        sgp_flight_sleep(flight, SGP_FLIGHT_MESSAGES, &first, t);
        sgp_flight_wake(flight, SGP_FLIGHT_MESSAGES, t + 1, SGP_OK);
    }
    sgp_flight_wait_t wait = sgp_flight_waits(flight, SGP_FLIGHT_MESSAGES);
    assert_int_equal(wait.since, 100);
    assert_int_equal(wait.woke, 99 + 3 * SGP_FLIGHT_EVENTS);
    assert_false(wait.asleep);
    assert_int_equal(wait.want.what, SGP_FLIGHT_FOR_MESSAGE);
    assert_int_equal(wait.want.peer, 1);
    assert_int_equal(wait.want.step, 34);
    assert_int_equal(read_all(flight, SGP_FLIGHT_MESSAGES, events, &before), 1);
    assert_int_equal(events[0].kind, SGP_FLIGHT_WAIT);
    assert_int_equal(events[0].time, 100);
    sgp_flight_destroy(flight);
}

static void test_another_wait_ends_the_one_before(void **state) {
    (void)state;
    static sgp_flight_event_t events[SGP_FLIGHT_EVENTS];
    sgp_flight_t *flight = make();
    uint64_t before;
    sgp_flight_sleep(flight, SGP_FLIGHT_MESSAGES, &first, 100);
    sgp_flight_wake(flight, SGP_FLIGHT_MESSAGES, 200, SGP_OK);
    sgp_flight_sleep(flight, SGP_FLIGHT_MESSAGES, &second, 300);
    assert_int_equal(read_all(flight, SGP_FLIGHT_MESSAGES, events, &before), 3);
    assert_int_equal(events[1].kind, SGP_FLIGHT_WAITED);
    assert_int_equal(events[1].time, 200);
    assert_int_equal(events[1].number, 100);
    assert_int_equal(events[1].peer, 1);
    assert_int_equal(events[1].detail, SGP_FLIGHT_FOR_MESSAGE);
    assert_int_equal(events[2].kind, SGP_FLIGHT_WAIT);
    assert_int_equal(events[2].peer, 2);
    assert_true(sgp_flight_waits(flight, SGP_FLIGHT_MESSAGES).asleep);
    assert_int_equal(sgp_flight_waits(flight, SGP_FLIGHT_MESSAGES).since, 300);
    sgp_flight_destroy(flight);
}

static void test_the_first_wait_that_fails_is_kept(void **state) {
    (void)state;
    sgp_flight_t *flight = make();
    sgp_flight_sleep(flight, SGP_FLIGHT_MESSAGES, &first, 100);
    assert_false(atomic_load(&flight->has_failed));
    sgp_flight_wake(flight, SGP_FLIGHT_MESSAGES, 200, SGP_ERR_PEER_LOST);
    sgp_flight_sleep(flight, SGP_FLIGHT_MESSAGES, &second, 300);
    sgp_flight_wake(flight, SGP_FLIGHT_MESSAGES, 400, SGP_ERR_TIMEOUT);
    assert_true(atomic_load(&flight->has_failed));
    assert_int_equal(flight->failed.since, 100);
    assert_int_equal(flight->failed.want.peer, 1);
    sgp_flight_destroy(flight);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_event_comes_back_as_it_was),
        cmocka_unit_test(test_without_a_recorder_nothing_happens),
        cmocka_unit_test(test_the_ring_keeps_the_last_ones),
        cmocka_unit_test(test_two_writers_and_a_reader),
        cmocka_unit_test(test_a_wait_goes_on_over_many_sleeps),
        cmocka_unit_test(test_another_wait_ends_the_one_before),
        cmocka_unit_test(test_the_first_wait_that_fails_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
