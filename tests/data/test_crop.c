/* SPDX-License-Identifier: Apache-2.0 */
/* Crops lie within the picture, have the areas and ratios that were asked for, and are where
 * torchvision places them. */
#include "picture_support.h"

#include "data/picture/crop.h"

#include <math.h>

enum { DRAWS = 20000 };

static void assert_within(const crop_t *crop, int width, int height) {
    assert_true(crop->width >= 1 && crop->x >= 0 && crop->x + crop->width <= width);
    assert_true(crop->height >= 1 && crop->y >= 0 && crop->y + crop->height <= height);
}

/* Areas are uniform from 0.08 to 1 where every ratio fits; here up to a third of the picture. */
static void test_areas_and_ratios(void **state) {
    (void)state;
    picture_options_t options = picture_options(224);
    sgp_random_t random;
    sgp_random_init(&random, 1, 0);
    int wide = 0, high = 0, below = 0, small = 0, left = 0, flush = 0;
    for (int i = 0; i < DRAWS; i++) {
        crop_t crop = crop_random(&options, 450, 450, &random);
        assert_within(&crop, 450, 450);
        double ratio = (double)crop.width / crop.height;
        double area = (double)crop.width * crop.height / (450.0 * 450.0);
        assert_true(ratio > 0.74 && ratio < 1.345 && area > 0.079);
        assert_int_equal(crop.out_width, 224);
        wide += ratio > 1;
        high += ratio < 1;
        below += area < 0.2;
        small += area < 1.0 / 3;
        left += 2 * crop.x + crop.width < 450;
        flush += crop.x + crop.width == 450;
    }
    assert_true(abs(wide - high) < DRAWS / 20);
    assert_true(fabs((double)below / small - (0.2 - 0.08) / (1.0 / 3 - 0.08)) < 0.03);
    assert_true(abs(2 * left - DRAWS) < DRAWS / 20);
    assert_true(flush > 0);
}

/* If no ratio fits, the largest centred rectangle: torchvision's fallback. */
static void test_extreme_shapes(void **state) {
    (void)state;
    picture_options_t options = picture_options(64);
    sgp_random_t random;
    sgp_random_init(&random, 2, 0);
    options.scale_least = 0.9f;
    crop_t crop = crop_random(&options, 1000, 30, &random);
    assert_int_equal(crop.width, 40); /* 30 x 4 / 3 */
    assert_int_equal(crop.height, 30);
    assert_int_equal(crop.x, 480);
    assert_int_equal(crop.y, 0);
    crop = crop_random(&options, 30, 1000, &random);
    assert_int_equal(crop.width, 30);
    assert_int_equal(crop.height, 40); /* 30 / (3 / 4) */
    assert_int_equal(crop.y, 480);
    static const int sides[][2] = {{1, 1}, {1, 2}, {1, 65500}, {65500, 1}, {2, 3}, {178956970, 1}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        for (int j = 0; j < 1000; j++) {
            crop = crop_random(&options, sides[i][0], sides[i][1], &random);
            assert_within(&crop, sides[i][0], sides[i][1]);
        }
}

static void test_centre(void **state) {
    (void)state;
    /* width, height: Resize(256) gives .., CenterCrop(224) begins at ..; halves go to the even. */
    static const int rows[][6] = {
        {500, 375, 341, 256, 58, 16},   {375, 500, 256, 341, 16, 58},
        {256, 256, 256, 256, 16, 16},   {257, 256, 257, 256, 16, 16},
        {259, 256, 259, 256, 18, 16},   {1, 1, 256, 256, 16, 16},
        {4000, 3000, 341, 256, 58, 16}, {1000, 10, 25600, 256, 12688, 16},
    };
    picture_options_t options = picture_options(224);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        crop_t crop = crop_centre(&options, rows[i][0], rows[i][1]);
        assert_int_equal(crop.out_width, rows[i][2]);
        assert_int_equal(crop.out_height, rows[i][3]);
        assert_int_equal(crop.out_x, rows[i][4]);
        assert_int_equal(crop.out_y, rows[i][5]);
        assert_int_equal(crop.width, rows[i][0]);
        assert_int_equal(crop.height, rows[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_areas_and_ratios),
        cmocka_unit_test(test_extreme_shapes),
        cmocka_unit_test(test_centre),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
