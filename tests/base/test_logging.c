/* SPDX-License-Identifier: Apache-2.0 */
/* Sinks of threads, and the last error. */
#include "cmocka_all.h"

#include "base/logging.h"

#include <pthread.h>
#include <string.h>

typedef struct seen {
    int lines;
    char last[64];
} seen_t;

static void keep(sgp_log_level_t level, int rank, const char *line, void *user) {
    seen_t *seen = user;
    (void)level, (void)rank;
    seen->lines++;
    strncpy(seen->last, line, sizeof seen->last - 1);
}

static void test_a_sink_takes_the_place_of_the_process_s(void **state) {
    (void)state;
    seen_t all = {0}, own = {0};
    sgp_log_sink_t sink = {keep, &own, SGP_LOG_WARNING};
    sgp_log_set(keep, &all, SGP_LOG_INFO);
    const sgp_log_sink_t *before = sgp_api_begin(&sink);
    sgp_log(SGP_LOG_WARNING, "inside");
    sgp_log(SGP_LOG_INFO, "below its level");
    assert_int_equal(sgp_api_end(before, SGP_OK), SGP_OK);
    sgp_log(SGP_LOG_INFO, "outside");
    assert_int_equal(own.lines, 1);
    assert_string_equal(own.last, "inside");
    assert_int_equal(all.lines, 1);
    assert_string_equal(all.last, "outside");
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
}

static void test_the_last_error_needs_no_callback(void **state) {
    (void)state;
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    assert_string_equal(sgp_last_error(), "");
    sgp_fail(SGP_ERR_INVALID, "count is %d", 0);
    const sgp_log_sink_t *inner =
        sgp_api_begin(NULL); /* a public function that the first one calls */
    sgp_api_end(inner, SGP_OK);
    assert_int_equal(sgp_api_end(before, SGP_ERR_INVALID), SGP_ERR_INVALID);
    assert_string_equal(sgp_last_error(), "count is 0");
    sgp_api_end(sgp_api_begin(NULL), SGP_OK);
    assert_string_equal(sgp_last_error(), "");
}

/* What a call leaves, where a line was written before, or none. */
static const char *left_by(sgp_status_t status, const char *line) {
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    if (line) sgp_fail(SGP_ERR_SYSTEM, "%s", line);
    assert_int_equal(sgp_api_end(before, status), status);
    return sgp_last_error();
}

static void test_the_last_error_is_about_the_last_call(void **state) {
    (void)state;
    assert_string_equal(left_by(SGP_ERR_INVALID, "wrong"), "wrong");
    assert_string_equal(left_by(SGP_ERR_NOT_FOUND, "no such host"), "no such host");
    assert_string_equal(left_by(SGP_OK, "tried in vain, then otherwise"), "");
    assert_string_equal(left_by(SGP_ERR_AGAIN, "wrong"), "");
    assert_string_equal(left_by(SGP_ERR_INTERRUPTED, "wrong"), "");
    assert_string_equal(left_by(SGP_ERR_NOT_FOUND, NULL), "");
    assert_string_equal(left_by(SGP_ERR_IO, NULL), "input or output failed");
}

static void *fail_elsewhere(void *argument) {
    (void)argument;
    assert_string_equal(sgp_last_error(), "");
    sgp_fail(SGP_ERR_INVALID, "elsewhere");
    return NULL;
}

static void test_threads_have_errors_of_their_own(void **state) {
    (void)state;
    pthread_t thread;
    sgp_fail(SGP_ERR_INVALID, "here");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(sgp_last_error(), "here");
    sgp_fail(SGP_ERR_INVALID, "again: %s", sgp_last_error());
    assert_string_equal(sgp_last_error(), "again: here");
    char longest[2 * SGP_LOG_LINE];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    sgp_set_last_error(longest);
    assert_int_equal(strlen(sgp_last_error()), SGP_LOG_LINE - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sink_takes_the_place_of_the_process_s),
        cmocka_unit_test(test_the_last_error_needs_no_callback),
        cmocka_unit_test(test_the_last_error_is_about_the_last_call),
        cmocka_unit_test(test_threads_have_errors_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
