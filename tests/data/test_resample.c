/* SPDX-License-Identifier: Apache-2.0 */
/* Resizing: vector code has the bits of plain code, a window those of the whole, and the filter its
 * properties. That the weights are PIL's is test_picture's to say. */
#include "picture_support.h"

#include "data/picture/resample.h"

enum { SIDE = 64 };

typedef struct resized {
    int width, rows;
    uint8_t *pixels; /* (rows, width, 4) */
} resized_t;

static void take_row(void *user, int y, const uint8_t *row) {
    resized_t *resized = user;
    assert_int_equal(y, resized->rows);
    memcpy(resized->pixels + (size_t)y * (size_t)resized->width * 4, row,
           (size_t)resized->width * 4);
    resized->rows++;
}

/* picture: (rows->inputs, columns->inputs, 4); rows arrive `at_once` at a time. */
static resized_t resize(const resample_kernels_t *kernels, const resample_span_t *columns,
                        const resample_span_t *rows, const uint8_t *picture, int at_once) {
    resample_t resample = {.kernels = kernels};
    decode_reason_t reason;
    resized_t resized = {.width = columns->count,
                         .pixels = malloc((size_t)columns->count * (size_t)rows->count * 4)};
    assert_non_null(resized.pixels);
    assert_int_equal(
        resample_begin(&resample, columns, rows, &(resample_sink_t){take_row, &resized}, &reason),
        SGP_OK);
    size_t wide = (size_t)(resample.columns.end - resample.columns.first);
    size_t pitch = wide * 4 + DECODE_SLACK;
    int high = resample.rows.end - resample.rows.first;
    uint8_t *block = malloc(pitch * (size_t)at_once);
    assert_non_null(block);
    for (int y = 0; y < high; y += at_once) {
        int count = high - y < at_once ? high - y : at_once;
        memset(block, 0xa5, pitch * (size_t)at_once);
        for (int i = 0; i < count; i++) {
            size_t row = (size_t)(resample.rows.first + y + i) * (size_t)columns->inputs;
            memcpy(block + (size_t)i * pitch, picture + 4 * (row + (size_t)resample.columns.first),
                   wide * 4);
        }
        resample_rows(&resample, block, pitch, count);
    }
    assert_int_equal(resized.rows, rows->count);
    free(block);
    resample_fini(&resample);
    return resized;
}

static uint8_t *random_picture(sgp_random_t *random, int width, int height) {
    size_t bytes = (size_t)width * (size_t)height * 4;
    uint8_t *picture = malloc(bytes);
    assert_non_null(picture);
    /* Extremes are frequent, since sums reach their bounds there. */
    for (size_t i = 0; i < bytes; i++) {
        uint64_t bits = sgp_random_u64(random);
        picture[i] = (uint8_t)(bits >> 8 & 1 ? bits : bits & 1 ? 255 : 0);
    }
    return picture;
}

static resample_span_t random_span(sgp_random_t *random, int inputs) {
    resample_span_t span = {.inputs = inputs, .end = inputs};
    span.outputs = 1 + (int)sgp_random_below(random, 90);
    span.skip = (int)sgp_random_below(random, (uint64_t)span.outputs);
    span.count = 1 + (int)sgp_random_below(random, (uint64_t)(span.outputs - span.skip));
    if (sgp_random_below(random, 2)) {
        span.begin = sgp_random_double(random) * 0.5;
        span.end = inputs - sgp_random_double(random) * 0.4;
    }
    return span;
}

static void test_fast_equals_plain(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 2, 0);
    if (resample_fastest() == &resample_plain) print_message("this CPU has plain code alone\n");
    for (int i = 0; i < 300; i++) {
        int width = 1 + (int)sgp_random_below(&random, i % 10 ? 120 : 3000);
        int height = 1 + (int)sgp_random_below(&random, i % 10 ? 120 : 40);
        resample_span_t columns = random_span(&random, width), rows = random_span(&random, height);
        uint8_t *picture = random_picture(&random, width, height);
        int at_once = 1 + i % 5;
        resized_t fast = resize(resample_fastest(), &columns, &rows, picture, at_once);
        resized_t plain = resize(&resample_plain, &columns, &rows, picture, 1);
        if (memcmp(fast.pixels, plain.pixels, (size_t)fast.width * (size_t)fast.rows * 4) != 0)
            fail_msg("case %d: %d x %d to %d x %d", i, width, height, columns.outputs,
                     rows.outputs);
        free(fast.pixels);
        free(plain.pixels);
        free(picture);
    }
}

static void test_window_equals_whole(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 3, 0);
    uint8_t *picture = random_picture(&random, SIDE, SIDE);
    resample_span_t all = {.inputs = SIDE, .end = SIDE, .outputs = 41, .count = 41};
    resample_span_t some = all;
    some.skip = 9;
    some.count = 22;
    resized_t whole = resize(&resample_plain, &all, &all, picture, 1);
    resized_t window = resize(&resample_plain, &some, &some, picture, 1);
    for (int y = 0; y < some.count; y++)
        assert_memory_equal(window.pixels + (size_t)y * (size_t)some.count * 4,
                            whole.pixels + ((size_t)(y + some.skip) * 41 + (size_t)some.skip) * 4,
                            (size_t)some.count * 4);
    free(whole.pixels);
    free(window.pixels);
    free(picture);
}

static void test_same_size_is_the_picture(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 4, 0);
    uint8_t *picture = random_picture(&random, SIDE, SIDE);
    resample_span_t span = {.inputs = SIDE, .end = SIDE, .outputs = SIDE, .count = SIDE};
    resized_t same = resize(resample_fastest(), &span, &span, picture, 2);
    assert_memory_equal(same.pixels, picture, (size_t)SIDE * SIDE * 4);
    free(same.pixels);
    free(picture);
}

/* White stays white: weights may sum to more than 1 by rounding, which must not wrap. */
static void test_one_colour_stays(void **state) {
    (void)state;
    static const int sizes[][2] = {{1, 7}, {2, 3}, {500, 224}, {224, 500}, {60000, 2}, {60000, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        resample_span_t columns = {.inputs = sizes[i][0], .end = sizes[i][0]};
        resample_span_t rows = {.inputs = 2, .end = 2, .outputs = 2, .count = 2};
        columns.outputs = columns.count = sizes[i][1];
        uint8_t *white = malloc((size_t)columns.inputs * 2 * 4);
        assert_non_null(white);
        memset(white, 255, (size_t)columns.inputs * 2 * 4);
        resized_t resized = resize(resample_fastest(), &columns, &rows, white, 2);
        for (int j = 0; j < columns.count * 2 * 4; j++) assert_int_equal(resized.pixels[j], 255);
        free(resized.pixels);
        free(white);
    }
}

/* The weights sum to 1 but for rounding, lie within the picture, and are the same in both forms. */
static void test_weights(void **state) {
    (void)state;
    resample_axis_t axis = {0};
    decode_reason_t reason;
    sgp_random_t random;
    sgp_random_init(&random, 5, 0);
    for (int i = 0; i < 100; i++) {
        resample_span_t span = random_span(&random, 1 + (int)sgp_random_below(&random, 400));
        assert_int_equal(resample_axis_set(&axis, &span, &reason), SGP_OK);
        assert_true(axis.first >= 0 && axis.end <= span.inputs);
        for (int j = 0; j < axis.count; j++) {
            int64_t sum = 0;
            const int32_t *weights = axis.weights + (size_t)j * (size_t)axis.stride;
            for (int t = 0; t < axis.stride; t++) {
                const resample_group_t *group =
                    axis.groups + ((size_t)j * (size_t)axis.stride + (size_t)t) / RESAMPLE_GROUP;
                assert_true(t < axis.taps[j] || weights[t] == 0);
                assert_int_equal(weights[t], group->upper[t % RESAMPLE_GROUP] * 4096 +
                                                 group->lower[t % RESAMPLE_GROUP]);
                sum += weights[t];
            }
            assert_true(llabs(sum - (1 << RESAMPLE_BITS)) <= axis.taps[j]);
            assert_true(axis.from[j] >= 0 && axis.taps[j] >= 1);
            assert_true(axis.from[j] + axis.taps[j] <= axis.end - axis.first);
        }
    }
    resample_axis_fini(&axis);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fast_equals_plain),
        cmocka_unit_test(test_window_equals_whole),
        cmocka_unit_test(test_same_size_is_the_picture),
        cmocka_unit_test(test_one_colour_stays),
        cmocka_unit_test(test_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
