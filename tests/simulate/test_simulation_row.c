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

/* With half of the nodes at work, and a loss of a tenth of their time, twice 1 / 0.9 as long. */
static void test_hours_with_losses(void **state) {
    (void)state;
    simulation_row_t row = {.samples_per_second = 1281167.0 / 40, .held_up_s = 0.4};
    simulation_settings_t half = settings;
    half.failures_s = half.repair_s = 8;
    assert_true(fabs(simulation_hours_with_losses(&half, 4, &row) - 2 / 0.9) < 1e-9);
    half.failures_s = half.repair_s = 0.5; /* nodes are lost faster than the others can note it */
    assert_true(isinf(simulation_hours_with_losses(&half, 4, &row)));
}

/* The nodes make 1 - exp(-T / mean) of what they would make in all: half of it in log 2 times the mean. */
static void test_hours_of_ever_fewer(void **state) {
    (void)state;
    simulation_row_t row = {.samples_per_second = 1281167.0 / 40};
    simulation_settings_t fewer = settings;
    fewer.failures_s = 7200;
    fewer.repair_s = -1;
    assert_true(fabs(simulation_hours_with_losses(&fewer, 4, &row) - 2 * log(2)) < 1e-9);
    row.held_up_s = 1e-9;
    assert_true(fabs(simulation_hours_with_losses(&fewer, 4, &row) - 2 * log(2)) < 1e-6);
    fewer.failures_s = 3000;
    assert_true(isinf(simulation_hours_with_losses(&fewer, 4, &row)));
}

/* Rare failures cost nothing, and the best interval is no worse than an epoch. */
static void test_hours_with_checkpoints(void **state) {
    (void)state;
    simulation_row_t row = {.samples_per_second = 1281167.0 / 40};
    assert_true(fabs(simulation_hours_with_checkpoints(&settings, 4, &row) - 1) < 0.01);
    simulation_settings_t often = settings;
    often.failures_s = 1600;
    double hours = simulation_hours_with_checkpoints(&often, 4, &row);
    double epoch = 90 * (400 + 70) * expm1((40.0 + 1) / 400) / 3600;
    assert_true(hours <= epoch * 1.001 && hours > 1);
}

static void test_failing(void **state) {
    (void)state;
    static const int expected[][2] = {{1, 0}, {2, 1}, {16, 1}, {32, 2}, {1024, 8}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(simulation_failing(expected[i][0]), expected[i][1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_efficiency),
        cmocka_unit_test(test_hours),
        cmocka_unit_test(test_hours_with_restarts),
        cmocka_unit_test(test_hours_with_losses),
        cmocka_unit_test(test_hours_of_ever_fewer),
        cmocka_unit_test(test_hours_with_checkpoints),
        cmocka_unit_test(test_failing),
    };
    return cmocka_run_group_tests_name("simulation_row", tests, NULL, NULL);
}
