/* SPDX-License-Identifier: Apache-2.0 */
/* The last log lines are kept while somebody holds the ring, whether or not a callback takes them. */
#include "cmocka_all.h"

#include "base/log_ring.h"
#include "base/logging.h"

#include <stdio.h>
#include <string.h>

static void test_nothing_without_a_holder(void **state) {
    (void)state;
    sgp_log_kept_t lines[SGP_LOG_RING_LINES];
    assert_false(sgp_log_ring_takes(SGP_LOG_ERROR));
    sgp_log(SGP_LOG_ERROR, "nobody looks");
    sgp_log_ring_hold();
    assert_int_equal(sgp_log_ring_read(lines), 0);
    sgp_log_ring_release();
}

static void test_last_lines(void **state) {
    (void)state;
    sgp_log_kept_t lines[SGP_LOG_RING_LINES];
    sgp_log_ring_hold();
    sgp_log_ring_hold();
    sgp_log(SGP_LOG_WARNING, "warning %d", 1);
    sgp_log(SGP_LOG_DEBUG, "not kept");
    assert_int_equal(sgp_fail(SGP_ERR_INVALID, "failure %d", 2), SGP_ERR_INVALID);
    assert_int_equal(sgp_log_ring_read(lines), 2);
    assert_string_equal(lines[0].text, "warning 1");
    assert_int_equal(lines[0].level, SGP_LOG_WARNING);
    assert_string_equal(lines[1].text, "failure 2");
    assert_int_equal(lines[1].level, SGP_LOG_ERROR);
    assert_true(lines[0].time > 0 && lines[1].time >= lines[0].time);
    for (int i = 0; i < 100; i++) sgp_log(SGP_LOG_INFO, "line %d", i);
    sgp_log_ring_release();
    assert_int_equal(sgp_log_ring_read(lines), SGP_LOG_RING_LINES);
    for (int i = 0; i < SGP_LOG_RING_LINES; i++) {
        char text[32];
        snprintf(text, sizeof text, "line %d", 100 - SGP_LOG_RING_LINES + i);
        assert_string_equal(lines[i].text, text);
    }
    sgp_log_ring_release();
    sgp_log(SGP_LOG_ERROR, "too late");
    sgp_log_ring_hold();
    assert_int_equal(sgp_log_ring_read(lines), 0);
    sgp_log_ring_release();
}

static void test_long_line(void **state) {
    (void)state;
    static char text[1000];
    sgp_log_kept_t lines[SGP_LOG_RING_LINES];
    memset(text, 'x', sizeof text - 1);
    sgp_log_ring_hold();
    sgp_log(SGP_LOG_INFO, "%s", text);
    assert_int_equal(sgp_log_ring_read(lines), 1);
    assert_int_equal(strlen(lines[0].text), SGP_LOG_RING_TEXT - 1);
    sgp_log_ring_release();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_without_a_holder),
        cmocka_unit_test(test_last_lines),
        cmocka_unit_test(test_long_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
