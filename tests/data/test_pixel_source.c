/* SPDX-License-Identifier: Apache-2.0 */
/* CIFAR's binary files and IDX files, as data sets in memory and as sources. */
#include "source_support.h"

#include "data/dataset.h"

enum { PLANE = 32 * 32, PIXELS = 3 * PLANE };

static char directory[64];

/* Pixel (y, x) of channel c of a record's picture. */
static uint8_t pixel(int record, int c, int y, int x) {
    return (uint8_t)(record * 31 + c * 77 + y * 5 + x * 3);
}

/* Records numbered from `first`, of the labels' bytes and three planes. */
static void put_records(const char *name, int first, int count, int labels) {
    size_t bytes = (size_t)(labels + PIXELS);
    uint8_t *records = malloc((size_t)count * bytes);
    assert_non_null(records);
    for (int i = 0; i < count; i++) {
        uint8_t *record = records + (size_t)i * bytes;
        if (labels == 2) record[0] = 19; /* coarse */
        record[labels - 1] = (uint8_t)((first + i) % (labels == 2 ? 100 : 10));
        for (int c = 0; c < 3; c++)
            for (int p = 0; p < PLANE; p++)
                record[labels + c * PLANE + p] = pixel(first + i, c, p / 32, p % 32);
    }
    put_bytes(directory, name, records, (size_t)count * bytes);
    free(records);
}

static int set_up(void **state) {
    (void)state;
    make_directory(directory);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_directory(directory);
    return 0;
}

static void put_cifar10(void) {
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
        put_records(name, 3 * i, 3, 1);
    }
    put_records("test_batch.bin", 100, 4, 1);
}

static void assert_picture(const uint8_t *image, int record) {
    for (int c = 0; c < 3; c++)
        for (int p = 0; p < PLANE; p++)
            assert_int_equal(image[p * 3 + c], pixel(record, c, p / 32, p % 32));
}

static void cifar10_is_read_in_order(void **state) {
    (void)state;
    put_cifar10();
    dataset_t *dataset;
    dataset_shape_t shape;
    assert_int_equal(dataset_inspect(directory, &shape), SGP_OK);
    assert_int_equal(dataset_load(directory, 0, &dataset), SGP_OK);
    assert_memory_equal(&shape, &dataset->shape, sizeof shape);
    assert_true(shape.height == 32 && shape.width == 32 && shape.channels == 3);
    assert_true(shape.classes == 10 && shape.train_count == 15 && shape.test_count == 4);
    for (int i = 0; i < 15; i++) {
        assert_picture(dataset->train.images + i * PIXELS, i);
        assert_int_equal(dataset->train.labels[i], i % 10);
    }
    assert_picture(dataset->test.images + 3 * PIXELS, 103);
    dataset_destroy(dataset);
}

/* Each channel has its own mean and deviation: of 0..255 evenly they are 127.5 and sqrt((256^2 - 1) / 12). */
static void cifar_is_normalised_by_channel(void **state) {
    (void)state;
    uint8_t record[1 + PIXELS] = {0};
    for (int p = 0; p < PLANE; p++) {
        record[1 + p] = (uint8_t)p;              /* red: 0..255 four times */
        record[1 + PLANE + p] = p % 2 ? 10 : 30; /* green: 20 +- 10 */
        record[1 + 2 * PLANE + p] = 200;         /* blue: constant */
    }
    put_cifar10();
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
        put_bytes(directory, name, record, sizeof record);
    }
    dataset_t *dataset;
    assert_int_equal(dataset_load(directory, 0, &dataset), SGP_OK);
    assert_float_equal(dataset->mean[0], 127.5, 1e-5);
    assert_float_equal(dataset->deviation[0], 73.9002706, 1e-4);
    assert_float_equal(dataset->mean[1], 20, 1e-6);
    assert_float_equal(dataset->deviation[1], 10, 1e-6);
    assert_float_equal(dataset->mean[2], 200, 1e-6);
    assert_float_equal(dataset->deviation[2], 1, 0);
    dataset_destroy(dataset);
}

static void cifar100_has_fine_labels(void **state) {
    (void)state;
    put_records("train.bin", 40, 60, 2);
    put_records("test.bin", 7, 2, 2);
    source_t *source = open_source(directory);
    assert_string_equal(source_format(source), "cifar100");
    assert_int_equal(source_shape(source)->classes, 100);
    assert_int_equal(source_label(source, SOURCE_TRAIN, 59), 99);
    assert_int_equal(source_label(source, SOURCE_TEST, 1), 8);
    assert_string_equal(source_class_name(source, 99), "99");
    source_close(source);
}

static void sources_show_the_same_samples(void **state) {
    (void)state;
    put_cifar10();
    put(directory, "batches.meta.txt",
        "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
    source_t *source = open_source(directory);
    assert_string_equal(source_format(source), "cifar10");
    const source_shape_t *shape = source_shape(source);
    assert_false(shape->encoded);
    assert_true(shape->height == 32 && shape->width == 32 && shape->channels == 3);
    assert_true(shape->count[SOURCE_TRAIN] == 15 && shape->count[SOURCE_TEST] == 4);
    assert_string_equal(source_class_name(source, 9), "truck");
    source_buffer_t buffer = {0};
    assert_int_equal(source_read(source, SOURCE_TEST, 2, &buffer), SGP_OK);
    assert_int_equal(buffer.size, PIXELS);
    assert_picture(buffer.bytes, 102);
    source_will_need(source, SOURCE_TEST, (uint64_t[]){1}, 1);
    source_buffer_fini(&buffer);
    source_close(source);
}

static void idx_files_are_a_source(void **state) {
    (void)state;
    write_dataset(directory, 60, 20, 12);
    dataset_t *dataset;
    assert_int_equal(dataset_load(directory, 0, &dataset), SGP_OK);
    source_t *source = open_source(directory);
    assert_string_equal(source_format(source), "idx");
    source_buffer_t buffer = {0};
    for (uint64_t i = 0; i < 60; i++) {
        assert_int_equal(source_read(source, SOURCE_TRAIN, i, &buffer), SGP_OK);
        assert_int_equal(buffer.size, 144);
        assert_memory_equal(buffer.bytes, dataset->train.images + i * 144, 144);
        assert_int_equal(source_label(source, SOURCE_TRAIN, i), dataset->train.labels[i]);
    }
    source_buffer_fini(&buffer);
    source_close(source);
    dataset_destroy(dataset);
}

static void fingerprint_sees_pixels(void **state) {
    (void)state;
    put_cifar10();
    source_t *source = open_source(directory);
    uint64_t before = source_fingerprint(source);
    source_close(source);
    put_records("test_batch.bin", 110, 4, 1); /* the same labels */
    source = open_source(directory);
    assert_true(source_fingerprint(source) != before);
    source_close(source);
}

static void damage_is_named(void **state) {
    (void)state;
    put_cifar10();
    put_bytes(directory, "data_batch_4.bin", "short", 5);
    assert_refused(directory, SGP_ERR_FORMAT, "data_batch_4.bin",
                   "5 bytes: should be a multiple of 3073");
    drop(directory, "data_batch_4.bin");
    assert_refused(directory, SGP_ERR_NOT_FOUND, "data_batch_4.bin", "No such file");
    uint8_t record[1 + PIXELS] = {10};
    put_bytes(directory, "data_batch_4.bin", record, sizeof record);
    assert_refused(directory, SGP_ERR_FORMAT, "data_batch_4.bin", "label 10 of sample 0");
    put_records("data_batch_4.bin", 1, 1, 1);
    put(directory, "batches.meta.txt", "one\ntwo\n");
    assert_refused(directory, SGP_ERR_FORMAT, "batches.meta.txt", "names 2 classes: should be 10");
    put(directory, "batches.meta.txt", "one\n\ntwo\n");
    assert_refused(directory, SGP_ERR_FORMAT, "batches.meta.txt", "line 2 is empty");
    put(directory, "batches.meta.txt", "one\ntwo\033[2J\n");
    assert_refused(directory, SGP_ERR_FORMAT, "batches.meta.txt", "line 2 has a control character");
}

static void pictures_of_any_size_are_no_data_set_in_memory(void **state) {
    (void)state;
    put(directory, "train/cat/a.jpg", "x");
    put(directory, "val/cat/a.jpg", "x");
    dataset_shape_t shape;
    log_start();
    assert_int_equal(dataset_inspect(directory, &shape), SGP_ERR_UNSUPPORTED);
    assert_logged(directory, "JPEG or PNG files (folder)", NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(cifar10_is_read_in_order), TEST(cifar_is_normalised_by_channel),
        TEST(cifar100_has_fine_labels), TEST(sources_show_the_same_samples),
        TEST(idx_files_are_a_source),   TEST(fingerprint_sees_pixels),
        TEST(damage_is_named),          TEST(pictures_of_any_size_are_no_data_set_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
