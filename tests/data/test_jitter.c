/* SPDX-License-Identifier: Apache-2.0 */
/* Colour jitter at its fixed points, and its draws; that the rest is PIL's is test_picture's to say. */
#include "picture_support.h"

#include "data/picture/jitter.h"

enum { PIXELS = 1000 };

static void fill(uint8_t *pixels) {
    sgp_random_t random;
    sgp_random_init(&random, 7, 0);
    for (int i = 0; i < 4 * PIXELS; i++) pixels[i] = (uint8_t)sgp_random_u64(&random);
}

static jitter_t neutral(void) {
    return (jitter_t){{JITTER_BRIGHTNESS, JITTER_CONTRAST, JITTER_SATURATION}, {1, 1, 1}};
}

static void test_factors_of_1_change_nothing(void **state) {
    (void)state;
    uint8_t pixels[4 * PIXELS], same[4 * PIXELS];
    jitter_t jitter = neutral();
    fill(pixels);
    memcpy(same, pixels, sizeof same);
    jitter_apply(&jitter, PIXELS, pixels);
    assert_memory_equal(pixels, same, sizeof same);
}

static void test_factors_of_0(void **state) {
    (void)state;
    uint8_t pixels[4 * PIXELS];
    jitter_t jitter = neutral();
    fill(pixels);
    jitter.factor[JITTER_SATURATION] = 0;
    jitter_apply(&jitter, PIXELS, pixels);
    for (int i = 0; i < PIXELS; i++)
        assert_true(pixels[4 * i] == pixels[4 * i + 1] && pixels[4 * i] == pixels[4 * i + 2]);
    jitter.factor[JITTER_CONTRAST] = 0;
    jitter_apply(&jitter, PIXELS, pixels);
    for (int i = 1; i < PIXELS; i++) assert_memory_equal(pixels, pixels + 4 * i, 3);
    assert_true(pixels[0] > 100 && pixels[0] < 156); /* the mean of uniform bytes */
    jitter.factor[JITTER_BRIGHTNESS] = 0;
    jitter_apply(&jitter, PIXELS, pixels);
    for (int i = 0; i < PIXELS; i++) assert_memory_equal(pixels + 4 * i, "\0\0\0", 3);
}

/* All six orders, factors within their bounds on both sides of 1. */
static void test_draws(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 8, 0);
    int orders[27] = {0}, found = 0, above[JITTER_KINDS] = {0};
    for (int i = 0; i < 600; i++) {
        jitter_t jitter = jitter_draw(0.4f, &random);
        orders[jitter.order[0] * 9 + jitter.order[1] * 3 + jitter.order[2]]++;
        for (int k = 0; k < JITTER_KINDS; k++) {
            assert_true(jitter.factor[k] >= 0.6f && jitter.factor[k] <= 1.4f);
            above[k] += jitter.factor[k] > 1;
        }
    }
    for (int i = 0; i < 27; i++) {
        assert_true(orders[i] == 0 || orders[i] > 60);
        found += orders[i] > 0;
    }
    assert_int_equal(found, 6);
    for (int k = 0; k < JITTER_KINDS; k++) assert_true(above[k] > 240 && above[k] < 360);
    for (int i = 0; i < 100; i++)
        for (int k = 0; k < JITTER_KINDS; k++) {
            jitter_t jitter = jitter_draw(3, &random);
            assert_true(jitter.factor[k] >= 0 && jitter.factor[k] <= 4);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factors_of_1_change_nothing),
        cmocka_unit_test(test_factors_of_0),
        cmocka_unit_test(test_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
