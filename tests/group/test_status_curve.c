/* SPDX-License-Identifier: Apache-2.0 */
/* A curve keeps its ends, stays in order, and is spread over its whole length, however long it gets. */
#include "cmocka_all.h"

#include "group/status_curve.h"

static sgp_status_history_t history;

static void add_many(int count, double each) {
    history = (sgp_status_history_t){.interval = 0};
    for (int i = 0; i < count; i++) {
        sgp_status_history_add(&history, each * i, i, 1.0 / (i + 1));
        const sgp_status_point_t *last = &history.curve.point[history.curve.count - 1];
        assert_true(history.curve.count <= SGP_STATUS_POINTS && last->step == i);
    }
}

static void test_short(void **state) {
    (void)state;
    add_many(SGP_STATUS_POINTS, 0.5);
    assert_int_equal(history.curve.count, SGP_STATUS_POINTS);
    for (int i = 0; i < SGP_STATUS_POINTS; i++) assert_true(history.curve.point[i].step == i);
}

static void test_long(void **state) {
    (void)state;
    static const int counts[] = {513, 600, 1024, 5000, 100000};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        int count = counts[c];
        add_many(count, 0.5);
        const sgp_status_curve_t *curve = &history.curve;
        assert_true(curve->count >= SGP_STATUS_POINTS / 2);
        assert_true(curve->point[0].step == 0 && curve->point[curve->count - 1].step == count - 1);
        double most = 0;
        for (size_t i = 1; i < curve->count; i++) {
            const sgp_status_point_t *a = &curve->point[i - 1], *b = &curve->point[i];
            assert_true(b->step > a->step && b->seconds == 0.5 * b->step);
            assert_true(b->value == 1 / (b->step + 1));
            if (b->step - a->step > most) most = b->step - a->step;
        }
        assert_true(most <= 4.0 * count / SGP_STATUS_POINTS + 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
