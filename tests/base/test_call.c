/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that are left in the middle, in slices or by an interrupt, and gone on with. */
#include "cmocka_all.h"

#include "base/call.h"
#include "base/logging.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

/* Counts to `to`, one yield each, on a clock that moves by 10 with every look. */
typedef struct count {
    int to;
    int *at;
    uint64_t *clock;
} count_t;

static sgp_status_t count(void *argument) {
    count_t *count = argument;
    char fills_the_stack[4096];
    memset(fills_the_stack, count->to, sizeof fills_the_stack);
    while (*count->at < count->to) {
        sgp_status_t status = sgp_call_yield(*count->clock += 10);
        if (status != SGP_OK) return status;
        if (fills_the_stack[*count->at % 4096] != (char)count->to) return SGP_ERR_SYSTEM;
        ++*count->at;
    }
    return SGP_ERR_NOT_FOUND;
}

static void test_runs_to_its_end_without_slices(void **state) {
    (void)state;
    int at = 0;
    uint64_t clock = 0;
    sgp_call_t *call = sgp_call_create();
    count_t wanted = {100, &at, &clock};
    assert_int_equal(sgp_call_run(call, "count", count, &wanted, sizeof wanted), SGP_ERR_NOT_FOUND);
    assert_int_equal(at, 100);
    assert_null(sgp_call_left(call));
    sgp_call_destroy(call);
}

/* The first look starts a slice of 25, so the fourth ends it. */
static void test_returns_after_each_slice(void **state) {
    (void)state;
    int at = 0, calls = 0;
    uint64_t clock = 0;
    sgp_call_t *call = sgp_call_create();
    sgp_call_set_slice(call, 25);
    count_t wanted = {10, &at, &clock};
    sgp_status_t status;
    while ((status = sgp_call_run(call, "count", count, &wanted, sizeof wanted)) == SGP_ERR_AGAIN) {
        assert_string_equal(sgp_call_left(call), "count");
        wanted.to = 1000; /* ignored from now on */
        assert_true(++calls < 100);
    }
    assert_int_equal(status, SGP_ERR_NOT_FOUND);
    assert_int_equal(at, 10);
    assert_int_equal(calls, 2); /* 3 counts, 4 and 3 */
    sgp_call_destroy(call);
}

static sgp_call_t *interrupted;

static void on_signal(int number) {
    (void)number;
    sgp_call_interrupt(interrupted);
}

static void test_a_signal_handler_interrupts(void **state) {
    (void)state;
    int at = 0;
    uint64_t clock = 0;
    interrupted = sgp_call_create();
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    count_t wanted = {5, &at, &clock};
    assert_int_equal(sgp_call_run(interrupted, "count", count, &wanted, sizeof wanted),
                     SGP_ERR_INTERRUPTED);
    assert_int_equal(at, 0);
    assert_int_equal(sgp_call_run(interrupted, "count", count, &wanted, sizeof wanted),
                     SGP_ERR_NOT_FOUND);
    assert_int_equal(at, 5);
    signal(SIGUSR1, SIG_DFL);
    sgp_call_destroy(interrupted);
}

static sgp_status_t other(void *argument) {
    (void)argument;
    return SGP_OK;
}

static void *run_other_thread(void *argument) {
    char reason[SGP_CALL_REASON];
    assert_false(sgp_call_may_run(argument, count, reason));
    assert_string_equal(reason, "it is in the middle, begun by another thread");
    return NULL;
}

static void test_no_other_call_in_the_middle(void **state) {
    (void)state;
    int at = 0;
    uint64_t clock = 0;
    sgp_call_t *call = sgp_call_create();
    count_t wanted = {1000, &at, &clock};
    sgp_call_set_slice(call, 25);
    assert_int_equal(sgp_call_run(call, "count", count, &wanted, sizeof wanted), SGP_ERR_AGAIN);
    char reason[SGP_CALL_REASON];
    assert_false(sgp_call_may_run(call, other, reason));
    assert_string_equal(reason, "count is in the middle, call it again first");
    assert_true(sgp_call_may_run(call, count, reason));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_other_thread, call), 0);
    pthread_join(thread, NULL);
    sgp_call_set_slice(call, 0);
    assert_int_equal(sgp_call_run(call, "count", count, &wanted, sizeof wanted), SGP_ERR_NOT_FOUND);
    sgp_call_destroy(call);
}

static void test_a_cancelled_call_ends(void **state) {
    (void)state;
    int at = 0;
    uint64_t clock = 0;
    sgp_call_t *call = sgp_call_create();
    count_t wanted = {1000, &at, &clock};
    sgp_call_set_slice(call, 25);
    assert_int_equal(sgp_call_run(call, "count", count, &wanted, sizeof wanted), SGP_ERR_AGAIN);
    int before = at;
    sgp_call_cancel(call);
    assert_null(sgp_call_left(call));
    assert_int_equal(at, before);
    assert_int_equal(sgp_call_run(call, "other", other, &wanted, sizeof wanted), SGP_OK);
    assert_int_equal(sgp_call_run(call, "count", count, &wanted, sizeof wanted), SGP_ERR_AGAIN);
    sgp_call_destroy(call); /* cancels it */
}

/* ---- callbacks ---- */

static uintptr_t stack_of_callback;

static void look_at_stack(sgp_log_level_t level, int rank, const char *line, void *user) {
    int here = 0;
    (void)level, (void)rank, (void)line, (void)user;
    stack_of_callback = (uintptr_t)&here;
}

static sgp_status_t log_a_line(void *argument) {
    int here = 0;
    *(uintptr_t *)*(void **)argument = (uintptr_t)&here;
    return sgp_fail(SGP_ERR_IO, "a line");
}

static void test_callbacks_run_on_the_callers_stack(void **state) {
    (void)state;
    uintptr_t body = 0, *there = &body;
    sgp_call_t *call = sgp_call_create();
    sgp_log_set(look_at_stack, NULL, SGP_LOG_ERROR);
    assert_int_equal(sgp_call_run(call, "log", log_a_line, &there, sizeof there), SGP_ERR_IO);
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
#if !defined(__SANITIZE_ADDRESS__) /* its fake stack holds local variables */
    assert_in_range(stack_of_callback, (uintptr_t)&there - 65536, (uintptr_t)&there + 65536);
    assert_not_in_range(stack_of_callback, body - 65536, body + 65536);
#endif
    sgp_call_destroy(call);
}

static sgp_status_t nested(void *argument) {
    return sgp_call_run(*(sgp_call_t **)argument, "nested", other, argument, sizeof(void *));
}

static void test_a_call_inside_of_a_call(void **state) {
    (void)state;
    sgp_call_t *call = sgp_call_create();
    assert_int_equal(sgp_call_run(call, "nested", nested, &call, sizeof call), SGP_OK);
    sgp_call_destroy(call);
}

static void test_a_call_that_cannot_be_left(void **state) {
    (void)state;
    int at = 0;
    uint64_t clock = 0;
    count_t wanted = {10, &at, &clock};
    sgp_call_set_slice(NULL, 25);
    sgp_call_interrupt(NULL);
    assert_int_equal(sgp_call_run(NULL, "count", count, &wanted, sizeof wanted), SGP_ERR_NOT_FOUND);
    assert_int_equal(at, 10);
    sgp_call_cancel(NULL);
    assert_null(sgp_call_left(NULL));
}

static void test_limits(void **state) {
    (void)state;
    assert_int_equal(sgp_call_limit(5, 1000, true), 1000); /* outside of calls */
    assert_int_equal(sgp_call_yield(5), SGP_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_to_its_end_without_slices),
        cmocka_unit_test(test_returns_after_each_slice),
        cmocka_unit_test(test_a_signal_handler_interrupts),
        cmocka_unit_test(test_no_other_call_in_the_middle),
        cmocka_unit_test(test_a_cancelled_call_ends),
        cmocka_unit_test(test_callbacks_run_on_the_callers_stack),
        cmocka_unit_test(test_a_call_inside_of_a_call),
        cmocka_unit_test(test_a_call_that_cannot_be_left),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
