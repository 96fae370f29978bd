/* SPDX-License-Identifier: Apache-2.0 */
#include "data/support.h"

#include "run/times.h"

/* 1 to 100 in some order: mean 50.5; 50 of them do not exceed 50, and 99 do not exceed 99. */
static void quantiles_are_of_nearest_rank(void **state) {
    (void)state;
    float ms[100];
    for (int i = 0; i < 100; i++) ms[i] = (float)((i * 37) % 100 + 1);
    times_summary_t summary = times_quantiles(ms, 100);
    assert_true(summary.mean == 50.5);
    assert_true(summary.p50 == 50);
    assert_true(summary.p99 == 99);
}

/* Half of three is between two of them: the upper one, so that at least half do not exceed it. */
static void a_rank_between_two_is_the_upper(void **state) {
    (void)state;
    float ms[3] = {30, 10, 20};
    times_summary_t summary = times_quantiles(ms, 3);
    assert_true(summary.mean == 20 && summary.p50 == 20 && summary.p99 == 30);
}

static void one_step_is_all_of_them(void **state) {
    (void)state;
    float ms[1] = {7};
    times_summary_t summary = times_quantiles(ms, 1);
    assert_true(summary.mean == 7 && summary.p50 == 7 && summary.p99 == 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_of_nearest_rank),
        cmocka_unit_test(a_rank_between_two_is_the_upper),
        cmocka_unit_test(one_step_is_all_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
