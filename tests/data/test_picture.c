/* SPDX-License-Identifier: Apache-2.0 */
/* A picture becomes what torchvision and PIL make of it (pictures/expected.gz): to the last bit,
 * but for scaled decoding, whose filter is another one. */
#include "picture_support.h"

#include <math.h>

/* Levels of 255 by which a scaled decode differs from PIL's: mean over the picture, and most. */
#define NEAR_MEAN 3.0
#define NEAR_MOST 16.0

typedef struct example {
    char name[64], kind[16], how[16];
    int size, resize;
    double jitter;
    unsigned long long random;
} example_t;

static void make(picture_worker_t *worker, const example_t *example, float *levels) {
    picture_file_t file = picture_read(example->name);
    picture_options_t options = picture_levels(example->size);
    options.resize = example->resize;
    options.jitter = (float)example->jitter;
    bool is_test = strcmp(example->kind, "test") == 0;
    sgp_status_t status =
        is_test ? picture_test(worker, &options, file.bytes, file.size, levels)
                : picture_train(worker, &options, file.bytes, file.size, example->random, levels);
    if (status) fail_msg("%s: %s", example->name, picture_reason(worker));
    free(file.bytes);
}

static void compare(const example_t *example, const float *levels, const uint8_t *expected) {
    size_t count = (size_t)example->size * (size_t)example->size * 3;
    double sum = 0, most = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)levels[i] - expected[i]);
        sum += difference;
        if (difference > most) most = difference;
    }
    bool near = strcmp(example->how, "near") == 0;
    if (sum / (double)count <= (near ? NEAR_MEAN : 0) && most <= (near ? NEAR_MOST : 0)) return;
    fail_msg("%s %s %d, random %llu: differs by %.2f on average, %.0f at most", example->name,
             example->kind, example->size, example->random, sum / (double)count, most);
}

static void test_equals_torchvision(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    FILE *cases = fopen(SGP_TEST_PICTURES "/cases.txt", "r");
    gzFile expected = gzopen(SGP_TEST_PICTURES "/expected.gz", "rb");
    assert_true(cases && expected);
    example_t example;
    int done = 0;
    while (fscanf(cases, "%63s %15s %d %d %lf %llu %15s", example.name, example.kind, &example.size,
                  &example.resize, &example.jitter, &example.random, example.how) == 7) {
        size_t count = (size_t)example.size * (size_t)example.size * 3;
        float *levels = malloc(count * sizeof *levels);
        uint8_t *bytes = malloc(count);
        assert_true(levels && bytes);
        assert_int_equal(gzread(expected, bytes, (unsigned)count), count);
        make(worker, &example, levels);
        compare(&example, levels, bytes);
        free(levels);
        free(bytes);
        done++;
    }
    assert_true(done > 60 && feof(cases));
    fclose(cases);
    gzclose(expected);
    picture_worker_destroy(worker);
}

/* (value - mean) / deviation, of the channel. */
static void test_normalises(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    picture_file_t file = picture_read("444.jpg");
    static float levels[32 * 32 * 3], out[32 * 32 * 3];
    picture_options_t options = picture_options(32), plain = picture_levels(32);
    for (uint64_t random = 0; random < 4; random++) {
        assert_int_equal(picture_train(worker, &plain, file.bytes, file.size, random, levels), 0);
        assert_int_equal(picture_train(worker, &options, file.bytes, file.size, random, out), 0);
        const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
        for (int i = 0; i < 32 * 32 * 3; i++) {
            double value = ((double)levels[i] / 255 - mean[i % 3]) / deviation[i % 3];
            assert_true(fabs((double)out[i] - value) < 1e-5);
        }
    }
    free(file.bytes);
    picture_worker_destroy(worker);
}

static void test_options_are_published_ones(void **state) {
    (void)state;
    assert_int_equal(picture_options(224).resize, 256);
    assert_int_equal(picture_options(64).resize, 73);
    assert_true(picture_options(224).flip);
    assert_true(picture_options(224).jitter == 0);
}

/* Whatever the worker has done before. */
static void test_same_random_same_bits(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker(), *other = picture_worker();
    picture_file_t first = picture_read("420.jpg"), second = picture_read("interlaced-rgb8.png");
    static float a[48 * 48 * 3], b[48 * 48 * 3];
    picture_options_t options = picture_options(48), small = picture_options(16);
    options.jitter = 0.4f;
    int same = 0;
    for (uint64_t random = 0; random < 20; random++) {
        assert_int_equal(picture_train(worker, &options, first.bytes, first.size, random, a), 0);
        assert_int_equal(picture_test(other, &small, second.bytes, second.size, b), 0);
        assert_int_equal(picture_train(other, &options, first.bytes, first.size, random, b), 0);
        assert_memory_equal(a, b, sizeof a);
        assert_int_equal(picture_train(other, &options, first.bytes, first.size, random + 1, b), 0);
        same += memcmp(a, b, sizeof a) == 0;
    }
    assert_int_equal(same, 0);
    free(first.bytes);
    free(second.bytes);
    picture_worker_destroy(worker);
    picture_worker_destroy(other);
}

static void test_inspect(void **state) {
    (void)state;
    static const struct {
        const char *name;
        picture_info_t info;
    } rows[] = {
        {"420.jpg", {true, 100, 75, 3}},        {"grey.jpg", {true, 100, 75, 1}},
        {"cmyk.jpg", {true, 100, 75, 4}},       {"exif.jpg", {true, 75, 100, 3}},
        {"grey2.png", {false, 33, 21, 1}},      {"palette8.png", {false, 33, 21, 1}},
        {"rgb-alpha8.png", {false, 33, 21, 4}}, {"one.png", {false, 1, 1, 3}},
    };
    picture_worker_t *worker = picture_worker();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        picture_info_t info;
        picture_file_t file = picture_read(rows[i].name);
        assert_int_equal(picture_inspect(worker, file.bytes, file.size, &info), SGP_OK);
        assert_int_equal(info.jpeg, rows[i].info.jpeg);
        assert_int_equal(info.width, rows[i].info.width);
        assert_int_equal(info.height, rows[i].info.height);
        assert_int_equal(info.channels, rows[i].info.channels);
        free(file.bytes);
    }
    picture_worker_destroy(worker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_torchvision),
        cmocka_unit_test(test_normalises),
        cmocka_unit_test(test_options_are_published_ones),
        cmocka_unit_test(test_same_random_same_bits),
        cmocka_unit_test(test_inspect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
