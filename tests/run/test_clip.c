/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of a bounded norm. */
#include "data/support.h"

#include "run/clip.h"

#include <float.h>
#include <math.h>

enum { MOST = 1003 };

static void norms_are_euclidean(void **state) {
    (void)state;
    assert_true(clip_norm((float[]){3, -4}, 2) == 5);
    assert_true(clip_norm((float[]){1, 2, 2, 4, 4, 6, 6, 6, 6, 8}, 10) == sqrt(249.0));
    assert_true(clip_norm((float[]){0, -0.0f}, 2) == 0);
    /* Squares that a float cannot hold. */
    assert_true(clip_norm((float[]){FLT_MAX, 0}, 2) == (double)FLT_MAX);
    assert_true(clip_norm((float[]){FLT_TRUE_MIN}, 1) == (double)FLT_TRUE_MIN);
}

/* For every length, against a plain sum in long double. */
static void every_length_counts(void **state) {
    (void)state;
    float values[MOST];
    for (int i = 0; i < MOST; i++) values[i] = (float)sin(i) * (i % 7 ? 1 : 1e4f);
    for (size_t count = 1; count <= MOST; count += count < 40 ? 1 : 37) {
        long double sum = 0;
        for (size_t i = 0; i < count; i++) sum += (long double)values[i] * values[i];
        long double norm = sqrtl(sum);
        assert_true(fabsl(clip_norm(values, count) - norm) <= 1e-14L * norm);
    }
}

static void long_gradients_are_scaled(void **state) {
    (void)state;
    float values[MOST], before[MOST];
    for (int i = 0; i < MOST; i++) before[i] = values[i] = (float)cos(i);
    double norm = clip_norm(values, MOST);
    assert_true(clip_gradient(values, MOST, norm * 1.001) == norm);
    assert_memory_equal(values, before, sizeof values);
    assert_true(clip_gradient(values, MOST, 2) == norm);
    assert_true(fabs(clip_norm(values, MOST) - 2) < 2e-7);
    for (int i = 0; i < MOST; i++)
        assert_true(fabs(values[i] - before[i] * (2 / norm)) <= FLT_EPSILON * fabs(values[i]));
}

/* They go on to the step, which refuses them. */
static void what_is_not_finite_stays(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++)
        for (int at = 0; at < 11; at++) {
            float values[11], before[11];
            for (int i = 0; i < 11; i++) values[i] = i == at ? bad[b] : 100;
            memcpy(before, values, sizeof values);
            assert_false(isfinite(clip_gradient(values, 11, 1)));
            assert_memory_equal(values, before, sizeof values);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_are_euclidean),
        cmocka_unit_test(every_length_counts),
        cmocka_unit_test(long_gradients_are_scaled),
        cmocka_unit_test(what_is_not_finite_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
