/* SPDX-License-Identifier: Apache-2.0 */
/* The figures that follow from a row. */
#include "cmocka_all.h"

#include "simulate/simulation_row.h"

#include <math.h>

static const simulation_settings_t settings = {.local = {.update_ms = 10}, .failures_s = 1e12};

static void test_efficiency(void **state) {
    (void)state;
    simulation_row_t row = {.step_ms = 400, .gradient_ms = 90};
    assert_true(simulation_efficiency(&settings, &row) == 0.25);
}

/* 90 epochs of 1,281,167 images. */
static void test_hours(void **state) {
    (void)state;
    simulation_row_t row = {.samples_per_second = 1281167.0 / 40};
    assert_true(fabs(simulation_hours(&row) - 1) < 1e-12);
}

/* Rare failures cost nothing. At a rate of one per epoch's time T, 90 epochs take 90 (T + 70 s) (e - 1). */
static void test_hours_with_restarts(void **state) {
    (void)state;
    simulation_row_t row = {.samples_per_second = 1281167.0 / 40};
    assert_true(fabs(simulation_hours_with_restarts(&settings, 4, &row) - 1) < 1e-6);
    simulation_settings_t often = settings;
    often.failures_s = 160;
    double expected = 90 * (40 + 70) * (exp(1) - 1) / 3600;
    assert_true(fabs(simulation_hours_with_restarts(&often, 4, &row) - expected) < 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_efficiency),
        cmocka_unit_test(test_hours),
        cmocka_unit_test(test_hours_with_restarts),
    };
    return cmocka_run_group_tests_name("simulation_row", tests, NULL, NULL);
}
