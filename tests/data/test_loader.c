/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation and augmentation compared with the definition, on a data set made by hand. */
#include "data/support.h"

#include "data/loader.h"

#include <math.h>

#define COUNT    40
#define HEIGHT   7
#define WIDTH    9
#define CHANNELS 2
#define FLOATS   (HEIGHT * WIDTH * CHANNELS)

static uint8_t images[COUNT][HEIGHT][WIDTH][CHANNELS];
static uint8_t labels[COUNT];
static dataset_t dataset;
static uint64_t indices[COUNT];

static int set_up(void **state) {
    (void)state;
    uint32_t noise = 1;
    for (size_t i = 0; i < sizeof images; i++) {
        noise = noise * 1664525u + 1013904223u;
        ((uint8_t *)images)[i] = (uint8_t)(noise >> 24);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        labels[i] = (uint8_t)(i % 10);
        indices[i] = COUNT - 1 - i;
    }
    dataset_split_t split = {COUNT, (const uint8_t *)images, labels};
    dataset = (dataset_t){.shape = {HEIGHT, WIDTH, CHANNELS, 10, COUNT, COUNT},
                          .train = split,
                          .test = split,
                          .mean = {100, 150},
                          .deviation = {50, 20}};
    return 0;
}

static loader_t make(bool augment, uint64_t seed, int rank) {
    loader_t loader;
    loader_init(&loader, &(loader_options_t){&dataset, augment, seed, rank});
    return loader;
}

/* Pixel (y, x) of a sample padded with black, normalised. */
static float padded(uint32_t sample, int y, int x, int c) {
    bool inside = y >= 0 && y < HEIGHT && x >= 0 && x < WIDTH;
    float byte = inside ? (float)images[sample][y][x][c] : 0;
    return (byte - dataset.mean[c]) / dataset.deviation[c];
}

/* Whether out is the sample cut at (dy, dx), mirrored or not. */
static bool is_crop(const float *out, uint32_t sample, int dy, int dx, int flip) {
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < CHANNELS; c++) {
                int from = flip ? WIDTH - 1 - x : x;
                if (out[(y * WIDTH + x) * CHANNELS + c] != padded(sample, y + dy, from + dx, c))
                    return false;
            }
    return true;
}

/* The crops that `out` may be, as dy, dx, flip. Returns their number. */
static int find_crop(const float *out, uint32_t sample, int *dy, int *dx, int *flip) {
    int found = 0;
    for (int y = -LOADER_PADDING; y <= LOADER_PADDING; y++)
        for (int x = -LOADER_PADDING; x <= LOADER_PADDING; x++)
            for (int f = 0; f < 2; f++)
                if (is_crop(out, sample, y, x, f)) {
                    *dy = y, *dx = x, *flip = f;
                    found++;
                }
    return found;
}

static void plain_batch_is_normalised_in_order(void **state) {
    (void)state;
    loader_t loader = make(false, 1, 0);
    static float out[COUNT][FLOATS];
    int32_t classes[COUNT];
    assert_int_equal(loader_sample_floats(&loader), FLOATS);
    loader_train(&loader, 3, indices, COUNT, out[0], classes);
    for (int i = 0; i < COUNT; i++) {
        assert_true(is_crop(out[i], indices[i], 0, 0, 0));
        assert_int_equal(classes[i], labels[indices[i]]);
    }
    loader_test(&loader, 5, 7, out[0], classes);
    for (uint32_t i = 0; i < 7; i++) {
        assert_true(is_crop(out[i], 5 + i, 0, 0, 0));
        assert_int_equal(classes[i], labels[5 + i]);
    }
}

/* Each augmented sample is one of the 9 x 9 x 2 crops; over many, each offset comes up. */
static void augmented_samples_are_crops(void **state) {
    (void)state;
    loader_t loader = make(true, 1, 0);
    static float out[COUNT][FLOATS];
    int32_t classes[COUNT];
    int seen_y[9] = {0}, seen_x[9] = {0}, flipped = 0;
    for (uint64_t epoch = 0; epoch < 10; epoch++) {
        loader_train(&loader, epoch, indices, COUNT, out[0], classes);
        for (int i = 0; i < COUNT; i++) {
            int dy = 0, dx = 0, flip = 0;
            assert_int_equal(find_crop(out[i], indices[i], &dy, &dx, &flip), 1);
            assert_int_equal(classes[i], labels[indices[i]]);
            seen_y[dy + LOADER_PADDING]++;
            seen_x[dx + LOADER_PADDING]++;
            flipped += flip;
        }
    }
    /* 400 draws: 44 of each offset expected with deviation 6.3, and 200 flips with deviation 10. */
    for (int i = 0; i < 9; i++) assert_true(seen_y[i] > 12 && seen_x[i] > 12);
    assert_true(flipped > 150 && flipped < 250);
    loader_test(&loader, 0, 1, out[0], classes);
    assert_true(is_crop(out[0], 0, 0, 0, 0));
}

static int count_same(const loader_t *a, uint64_t epoch_a, const loader_t *b, uint64_t epoch_b) {
    static float out_a[COUNT][FLOATS], out_b[COUNT][FLOATS];
    int32_t classes[COUNT];
    loader_train(a, epoch_a, indices, COUNT, out_a[0], classes);
    for (int i = 0; i < COUNT; i++) /* one at a time: a sample must not depend on its batch */
        loader_train(b, epoch_b, &indices[i], 1, out_b[i], classes);
    int same = 0;
    for (int i = 0; i < COUNT; i++) same += memcmp(out_a[i], out_b[i], sizeof out_a[i]) == 0;
    return same;
}

/* 162 crops are equally likely: of 40 samples, 0.25 coincide by chance. */
static void augmentation_depends_on_seed_rank_epoch_and_sample_alone(void **state) {
    (void)state;
    loader_t loader = make(true, 1, 0), again = make(true, 1, 0), other_seed = make(true, 2, 0),
             other_rank = make(true, 1, 1);
    assert_int_equal(count_same(&loader, 4, &again, 4), COUNT);
    assert_true(count_same(&loader, 4, &loader, 5) < 5);
    assert_true(count_same(&loader, 4, &other_seed, 4) < 5);
    assert_true(count_same(&loader, 4, &other_rank, 4) < 5);
}

/* A crop of an image smaller than the padding may be all black. */
static void tiny_images_stay_inside_their_memory(void **state) {
    (void)state;
    static const uint8_t pixels[3] = {10, 20, 30};
    dataset_t tiny = {.shape = {1, 1, 1, 10, 3, 3},
                      .train = {3, pixels, labels},
                      .mean = {20},
                      .deviation = {10}};
    loader_t loader;
    loader_init(&loader, &(loader_options_t){&tiny, true, 1, 0});
    int shown = 0;
    for (uint64_t epoch = 0; epoch < 400; epoch++) {
        uint64_t index = 2;
        float out;
        int32_t class;
        loader_train(&loader, epoch, &index, 1, &out, &class);
        assert_true(out == -2 || out == 1);
        shown += out == 1;
    }
    assert_true(shown > 0 && shown < 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_batch_is_normalised_in_order),
        cmocka_unit_test(augmented_samples_are_crops),
        cmocka_unit_test(augmentation_depends_on_seed_rank_epoch_and_sample_alone),
        cmocka_unit_test(tiny_images_stay_inside_their_memory),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
