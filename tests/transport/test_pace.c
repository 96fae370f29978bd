/* SPDX-License-Identifier: Apache-2.0 */
/* When a thread is taken to hang: by the pace of its steps. */
#include "transport/pace.h"

#include "cmocka_all.h"

#define MS ((uint64_t)1000000)

enum { STALL = 1000 };

static bool hangs(const sgp_pace_t *pace, uint64_t ms) {
    return sgp_pace_hangs(pace, ms * MS, STALL * MS);
}

/* `count` steps of that length, from *now on; *now: at the begin of the last one. */
static void steps(sgp_pace_t *pace, int count, uint64_t length, uint64_t *now) {
    for (int i = 0; i < count; i++) {
        *now += length;
        sgp_pace_step(pace, (uint64_t)i, *now * MS);
    }
}

static void test_the_first_steps_are_not_judged(void **state) {
    (void)state;
    sgp_pace_t pace = {.step = 0};
    uint64_t now = 5;
    assert_false(hangs(&pace, 1000000));
    steps(&pace, SGP_PACE_FIRST, 10, &now);
    assert_false(hangs(&pace, now + 1000000));
    steps(&pace, 1, 10, &now);
    assert_false(hangs(&pace, now + STALL));
    assert_true(hangs(&pace, now + STALL + 1));
}

/* Slow steps have a longer limit; one that was slow changes nothing. */
static void test_slow_steps(void **state) {
    (void)state;
    sgp_pace_t pace = {.step = 0};
    uint64_t now = 5;
    steps(&pace, 30, 400, &now);
    assert_false(hangs(&pace, now + 3200));
    assert_true(hangs(&pace, now + 3201));
    steps(&pace, 3, 10000, &now);
    steps(&pace, 31, 400, &now);
    assert_true(hangs(&pace, now + 3201));
    steps(&pace, 64, 10, &now); /* it has become fast */
    assert_true(hangs(&pace, now + STALL + 1));
}

static void test_waiting_does_not_count(void **state) {
    (void)state;
    sgp_pace_t pace = {.step = 0};
    uint64_t now = 5;
    steps(&pace, 30, 10, &now);
    sgp_pace_begin_wait(&pace);
    assert_false(hangs(&pace, now + 60000));
    now += 60000;
    sgp_pace_end_wait(&pace, now * MS);
    assert_false(hangs(&pace, now + STALL));
    assert_true(hangs(&pace, now + STALL + 1));
}

static void test_rest(void **state) {
    (void)state;
    sgp_pace_t pace = {.step = 0};
    uint64_t now = 5;
    steps(&pace, 30, 10, &now);
    sgp_pace_rest(&pace);
    sgp_pace_begin_wait(&pace);
    sgp_pace_end_wait(&pace, (now + 7) * MS); /* as in a collective call */
    assert_false(hangs(&pace, now + 60000));
    now += 60000;
    steps(&pace, 1, 0, &now); /* the rest is no step's time */
    assert_true(hangs(&pace, now + STALL + 1));
}

/* A process that did not run is not taken to hang when it runs again. */
static void test_forgiven(void **state) {
    (void)state;
    sgp_pace_t pace = {.step = 0};
    uint64_t now = 5;
    sgp_pace_forgive(&pace, 1000 * MS);
    steps(&pace, 30, 10, &now);
    sgp_pace_forgive(&pace, 5000 * MS);
    assert_false(hangs(&pace, now + 5000 + STALL));
    assert_true(hangs(&pace, now + 5000 + STALL + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_steps_are_not_judged),
        cmocka_unit_test(test_slow_steps),
        cmocka_unit_test(test_waiting_does_not_count),
        cmocka_unit_test(test_rest),
        cmocka_unit_test(test_forgiven),
    };
    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
