/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of four files becomes a data set, or is refused with one line. */
#include "data/support.h"

#include "data/dataset.h"

#include <math.h>

#define TRAIN      60
#define TEST_COUNT 17
#define SIDE       12

static int set_up(void **state) {
    char *directory = malloc(64);
    make_directory(directory);
    write_dataset(directory, TRAIN, TEST_COUNT, SIDE);
    log_start();
    *state = directory;
    return 0;
}

static int tear_down(void **state) {
    remove_directory(*state);
    free(*state);
    return 0;
}

static void assert_refused(const char *directory, int64_t limit, sgp_status_t status,
                           const char *first, const char *second) {
    dataset_t *dataset = NULL;
    log_start();
    assert_int_equal(dataset_load(directory, limit, &dataset), status);
    assert_logged(first, second, NULL);
    assert_null(dataset);
}

static void loads_shape_and_samples(void **state) {
    dataset_t *dataset;
    dataset_shape_t shape;
    assert_int_equal(dataset_load(*state, 0, &dataset), SGP_OK);
    assert_int_equal(dataset_inspect(*state, &shape), SGP_OK);
    assert_int_equal(dataset->shape.height, SIDE);
    assert_int_equal(dataset->shape.width, SIDE);
    assert_int_equal(dataset->shape.channels, 1);
    assert_int_equal(dataset->shape.classes, 10);
    assert_int_equal(dataset->train.count, TRAIN);
    assert_int_equal(dataset->test.count, TEST_COUNT);
    assert_memory_equal(&shape, &dataset->shape, sizeof shape);
    for (uint32_t i = 0; i < TRAIN; i++)
        assert_int_equal(dataset->train.labels[i], (i * 7 + i / 10) % 10);
    dataset_destroy(dataset);
}

/* Mean 0 and variance 1 over the training set, by the plain definition. */
static void normalisation_is_of_the_training_set(void **state) {
    for (int64_t limit = 0; limit <= TRAIN; limit += 20) {
        dataset_t *dataset;
        assert_int_equal(dataset_load(*state, limit, &dataset), SGP_OK);
        size_t pixels = (size_t)dataset->train.count * SIDE * SIDE;
        double sum = 0, squares = 0;
        for (size_t i = 0; i < pixels; i++) {
            double value = (dataset->train.images[i] - (double)dataset->mean[0]) /
                           (double)dataset->deviation[0];
            sum += value;
            squares += value * value;
        }
        assert_true(fabs(sum / (double)pixels) < 1e-6);
        assert_true(fabs(squares / (double)pixels - 1) < 1e-6);
        dataset_destroy(dataset);
    }
}

static void constant_images_do_not_divide_by_zero(void **state) {
    uint8_t images[2 * SIDE * SIDE];
    memset(images, 77, sizeof images);
    write_idx(*state, "train-images-idx3-ubyte.gz", 3, (uint32_t[]){2, SIDE, SIDE}, images);
    write_idx(*state, "train-labels-idx1-ubyte", 1, (uint32_t[]){2}, (uint8_t[]){0, 9});
    dataset_t *dataset;
    assert_int_equal(dataset_load(*state, 0, &dataset), SGP_OK);
    assert_true(dataset->mean[0] == 77.0f && dataset->deviation[0] == 1.0f);
    dataset_destroy(dataset);
}

static void limit_keeps_the_first_samples(void **state) {
    dataset_t *all, *some;
    assert_int_equal(dataset_load(*state, 0, &all), SGP_OK);
    assert_int_equal(dataset_load(*state, 23, &some), SGP_OK);
    assert_int_equal(some->train.count, 23);
    assert_int_equal(some->shape.train_count, 23);
    assert_int_equal(some->test.count, TEST_COUNT);
    assert_memory_equal(some->train.images, all->train.images, 23 * SIDE * SIDE);
    assert_memory_equal(some->train.labels, all->train.labels, 23);
    assert_true(some->checksum != all->checksum);
    dataset_destroy(all);
    dataset_destroy(some);
    assert_refused(*state, TRAIN + 1, SGP_ERR_INVALID, "limit-samples is 61", "1 to 60");
    assert_refused(*state, -1, SGP_ERR_INVALID, "limit-samples is -1", "1 to 60");
}

static void checksum_sees_every_byte(void **state) {
    dataset_t *before, *after;
    assert_int_equal(dataset_load(*state, 0, &before), SGP_OK);
    assert_int_equal(dataset_load(*state, 0, &after), SGP_OK);
    assert_true(before->checksum == after->checksum);
    dataset_destroy(after);
    uint8_t labels[TEST_COUNT];
    memcpy(labels, before->test.labels, TEST_COUNT);
    labels[TEST_COUNT - 1] ^= 1;
    write_idx(*state, "t10k-labels-idx1-ubyte", 1, (uint32_t[]){TEST_COUNT}, labels);
    assert_int_equal(dataset_load(*state, 0, &after), SGP_OK);
    assert_true(before->checksum != after->checksum);
    dataset_destroy(before);
    dataset_destroy(after);
}

static void label_out_of_range_is_refused(void **state) {
    uint8_t labels[TRAIN] = {0};
    labels[41] = 10;
    write_idx(*state, "train-labels-idx1-ubyte", 1, (uint32_t[]){TRAIN}, labels);
    assert_refused(*state, 0, SGP_ERR_FORMAT, "train-labels-idx1-ubyte", "label 10 of sample 41");
}

static void files_must_fit_each_other(void **state) {
    uint8_t values[TRAIN * SIDE * SIDE] = {0};
    write_idx(*state, "train-labels-idx1-ubyte", 1, (uint32_t[]){TRAIN - 1}, values);
    assert_refused(*state, 0, SGP_ERR_FORMAT, "59 labels", "should be 60");
    write_idx(*state, "train-labels-idx1-ubyte", 1, (uint32_t[]){TRAIN}, values);
    write_idx(*state, "t10k-images-idx3-ubyte.gz", 3, (uint32_t[]){TEST_COUNT, SIDE, SIDE - 1},
              values);
    assert_refused(*state, 0, SGP_ERR_FORMAT, "12 x 11", "12 x 12");
    static const uint8_t wide[TRAIN * 5000];
    write_idx(*state, "train-images-idx3-ubyte.gz", 3, (uint32_t[]){TRAIN, 1, 5000}, wide);
    assert_refused(*state, 0, SGP_ERR_FORMAT, "1 x 5000", "at most 4096");
}

static void missing_pieces_are_named(void **state) {
    assert_refused("/nowhere/at/all", 0, SGP_ERR_NOT_FOUND, "/nowhere/at/all", "directory");
    char path[128];
    snprintf(path, sizeof path, "%s/t10k-labels-idx1-ubyte", (char *)*state);
    unlink(path);
    assert_refused(*state, 0, SGP_ERR_NOT_FOUND, "t10k-labels-idx1-ubyte", "not found");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(loads_shape_and_samples),
        TEST(normalisation_is_of_the_training_set),
        TEST(constant_images_do_not_divide_by_zero),
        TEST(limit_keeps_the_first_samples),
        TEST(checksum_sees_every_byte),
        TEST(label_out_of_range_is_refused),
        TEST(files_must_fit_each_other),
        TEST(missing_pieces_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
