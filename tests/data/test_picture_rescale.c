/* SPDX-License-Identifier: Apache-2.0 */
/* Whole pictures are resized as picture_test resizes the part that it shows, which test_picture.c holds against
 * torchvision; and pixels survive encoding. */
#include "picture_support.h"

#include "data/picture/picture_rescale.h"

#include <math.h>

static picture_rescale_t *create(void) {
    picture_rescale_t *rescale = NULL;
    assert_int_equal(picture_rescale_create(&rescale), SGP_OK);
    return rescale;
}

/* The centre of the picture, resized to a short side of `side`, has these pixels. */
static void assert_centre(const picture_file_t *file, int side, const picture_pixels_t *pixels) {
    picture_worker_t *worker = picture_worker();
    picture_options_t options = picture_levels(side);
    options.resize = side;
    float *levels = malloc((size_t)side * (size_t)side * 3 * sizeof *levels);
    assert_non_null(levels);
    assert_int_equal(picture_test(worker, &options, file->bytes, file->size, levels), SGP_OK);
    /* Of an odd difference Python rounds the half to the even number. */
    int left = (int)nearbyint((pixels->width - side) / 2.0);
    int top = (int)nearbyint((pixels->height - side) / 2.0);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            for (int c = 0; c < 3; c++)
                assert_int_equal(levels[(y * side + x) * 3 + c],
                                 pixels->pixels[((top + y) * pixels->width + left + x) * 3 + c]);
    free(levels);
    picture_worker_destroy(worker);
}

static void equals_what_evaluation_shows(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int side, width, height;
    } rows[] = {
        {"420.jpg", 50, 66, 50}, {"444.jpg", 74, 98, 74},      {"exif.jpg", 60, 60, 80},
        {"rgb8.png", 7, 11, 7},  {"palette8.png", 20, 31, 20}, {"cmyk.jpg", 64, 85, 64},
    };
    picture_rescale_t *rescale = create();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        picture_file_t file = picture_read(rows[i].name);
        picture_pixels_t out;
        assert_int_equal(picture_rescale_file(rescale, file.bytes, file.size, rows[i].side, &out),
                         SGP_OK);
        assert_int_equal(out.width, rows[i].width);
        assert_int_equal(out.height, rows[i].height);
        assert_int_equal(out.channels, 3);
        assert_centre(&file, rows[i].side, &out);
        free(file.bytes);
    }
    picture_rescale_destroy(rescale);
}

static void small_pictures_are_left_alone(void **state) {
    (void)state;
    picture_rescale_t *rescale = create();
    picture_file_t file = picture_read("rgb8.png"); /* 33 x 21 */
    picture_pixels_t out;
    assert_int_equal(picture_rescale_file(rescale, file.bytes, file.size, 21, &out), SGP_OK);
    assert_null(out.pixels);
    assert_int_equal(picture_rescale_file(rescale, file.bytes, file.size, 20, &out), SGP_OK);
    assert_non_null(out.pixels);
    free(file.bytes);
    picture_rescale_destroy(rescale);
}

static void damage_has_a_reason(void **state) {
    (void)state;
    picture_rescale_t *rescale = create();
    picture_file_t file = picture_read("444.jpg");
    picture_pixels_t out = {.width = -1};
    assert_int_equal(picture_rescale_file(rescale, file.bytes, file.size / 2, 32, &out),
                     SGP_ERR_FORMAT);
    assert_true(strlen(picture_rescale_reason(rescale)) > 5);
    assert_int_equal(picture_rescale_file(rescale, (const uint8_t *)"text", 4, 32, &out),
                     SGP_ERR_FORMAT);
    assert_non_null(strstr(picture_rescale_reason(rescale), "neither JPEG nor PNG"));
    assert_int_equal(picture_rescale_file(rescale, NULL, 0, 32, &out), SGP_ERR_FORMAT);
    assert_int_equal(out.width, -1);
    free(file.bytes);
    picture_rescale_destroy(rescale);
}

/* A short side of 1 with a long one of as many pixels as no picture may have. */
static void results_are_bounded(void **state) {
    (void)state;
    static const uint8_t line[65000];
    picture_rescale_t *rescale = create();
    picture_pixels_t out, in = {line, 65000, 1, 1};
    assert_int_equal(picture_rescale_pixels(rescale, &in, 1000, &out), SGP_ERR_FORMAT);
    assert_int_equal(picture_rescale_pixels(rescale, &in, 1, &out), SGP_OK);
    assert_true(out.width == 65000 && out.height == 1 && out.channels == 1);
    assert_memory_equal(out.pixels, line, 65000);
    picture_rescale_destroy(rescale);
}

/* Enlarging by two: the weights of a triangle at a quarter of a pixel are 3/4 and 1/4. */
static void pixels_are_interpolated(void **state) {
    (void)state;
    static const uint8_t in[2 * 2 * 3] = {0, 40, 200, 80, 40, 100, 0, 40, 200, 80, 40, 100};
    static const uint8_t row[4 * 3] = {0, 40, 200, 20, 40, 175, 60, 40, 125, 80, 40, 100};
    picture_rescale_t *rescale = create();
    picture_pixels_t out;
    assert_int_equal(picture_rescale_pixels(rescale, &(picture_pixels_t){in, 2, 2, 3}, 4, &out),
                     SGP_OK);
    assert_true(out.width == 4 && out.height == 4 && out.channels == 3);
    for (size_t y = 0; y < 4; y++) assert_memory_equal(out.pixels + y * 12, row, 12);
    picture_rescale_destroy(rescale);
}

/* pixels: (side, side, channels) smooth, since JPEG keeps what is smooth. */
static void fill(uint8_t *pixels, int side, int channels) {
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            for (int c = 0; c < channels; c++)
                pixels[(y * side + x) * channels + c] = (uint8_t)(2 * y + x * (c + 1) + 20 * c);
}

static void pixels_survive_encoding(void **state) {
    (void)state;
    enum { SIDE = 40 };
    static uint8_t pixels[SIDE * SIDE * 3], *bytes;
    static float levels[SIDE * SIDE * 3];
    picture_worker_t *worker = picture_worker();
    picture_options_t options = picture_levels(SIDE);
    options.resize = SIDE;
    for (int i = 0; i < 4; i++) {
        int channels = i % 2 ? 3 : 1;
        bool jpeg = i >= 2;
        size_t size;
        picture_pixels_t picture = {pixels, SIDE, SIDE, channels};
        fill(pixels, SIDE, channels);
        assert_int_equal(jpeg ? picture_encode_jpeg(&picture, 95, &bytes, &size)
                              : picture_encode_png(&picture, &bytes, &size),
                         SGP_OK);
        assert_int_equal(picture_test(worker, &options, bytes, size, levels), SGP_OK);
        for (int p = 0; p < SIDE * SIDE; p++)
            for (int c = 0; c < 3; c++) {
                double expected = pixels[p * channels + (channels == 3 ? c : 0)];
                assert_true(fabs((double)levels[p * 3 + c] - expected) <= (jpeg ? 6 : 0));
            }
        free(bytes);
    }
    picture_worker_destroy(worker);
}

static void large_pictures_are_encoded(void **state) {
    (void)state;
    enum { SIDE = 600 }; /* so that the buffer grows */
    uint8_t *pixels = malloc(SIDE * SIDE * 3), *bytes;
    size_t size;
    picture_info_t info;
    picture_worker_t *worker = picture_worker();
    assert_non_null(pixels);
    for (uint32_t i = 0, noise = 1; i < SIDE * SIDE * 3; i++)
        pixels[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
    picture_pixels_t picture = {pixels, SIDE, SIDE, 3};
    assert_int_equal(picture_encode_jpeg(&picture, 100, &bytes, &size), SGP_OK);
    assert_true(size > 500000);
    assert_int_equal(picture_check(worker, bytes, size), SGP_OK);
    assert_int_equal(picture_inspect(worker, bytes, size, &info), SGP_OK);
    assert_true(info.jpeg && info.width == SIDE && info.height == SIDE && info.channels == 3);
    free(bytes);
    free(pixels);
    picture_worker_destroy(worker);
}

static void pictures_out_of_range_are_refused(void **state) {
    (void)state;
    static const uint8_t pixels[4];
    uint8_t *bytes = NULL;
    size_t size;
    static const picture_pixels_t wrong[] = {
        {pixels, 0, 1, 1}, {pixels, 1, 0, 1}, {pixels, 65501, 1, 1}, {pixels, 1, 1, 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(picture_encode_jpeg(&wrong[i], 90, &bytes, &size), SGP_ERR_INVALID);
        assert_int_equal(picture_encode_png(&wrong[i], &bytes, &size), SGP_ERR_INVALID);
    }
    picture_pixels_t one = {pixels, 1, 1, 1};
    assert_int_equal(picture_encode_jpeg(&one, 0, &bytes, &size), SGP_ERR_INVALID);
    assert_int_equal(picture_encode_jpeg(&one, 101, &bytes, &size), SGP_ERR_INVALID);
    assert_null(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_what_evaluation_shows),
        cmocka_unit_test(small_pictures_are_left_alone),
        cmocka_unit_test(damage_has_a_reason),
        cmocka_unit_test(results_are_bounded),
        cmocka_unit_test(pixels_are_interpolated),
        cmocka_unit_test(pixels_survive_encoding),
        cmocka_unit_test(large_pictures_are_encoded),
        cmocka_unit_test(pictures_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
