/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation while reading a data set fails once; making batches allocates nothing. */
#include "failing_alloc.h"
#include "support.h"

#include "data/dataset.h"
#include "data/loader.h"
#include "data/sampler.h"

enum { SAMPLES = 60, TESTS = 20, SIDE = 12, BATCH = 8 };

static char directory[64];

static int set_up(void **state) {
    (void)state;
    make_directory(directory);
    write_dataset(directory, SAMPLES, TESTS, SIDE);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_directory(directory);
    return 0;
}

/* The C library works without memory for the buffer of a file, but not for the file itself. */
static void test_inspect(void **state) {
    (void)state;
    failing_t failing = {.may_pass = true, .also = SGP_ERR_IO};
    while (failing_round(&failing)) {
        dataset_shape_t shape = {.height = -1};
        sgp_status_t status = FAILING(&failing, dataset_inspect(directory, &shape));
        assert_int_equal(shape.height, status == SGP_OK ? SIDE : -1);
    }
    assert_true(failing.round > 2);
}

static void test_load(void **state) {
    (void)state;
    failing_t failing = {.may_pass = true, .also = SGP_ERR_IO};
    dataset_t *whole = NULL;
    assert_int_equal(dataset_load(directory, 0, &whole), SGP_OK);
    while (failing_round(&failing)) {
        dataset_t *dataset = NULL;
        sgp_status_t status = FAILING(&failing, dataset_load(directory, 0, &dataset));
        assert_true((status == SGP_OK) == (dataset != NULL));
        if (dataset) assert_true(dataset->checksum == whole->checksum);
        dataset_destroy(dataset);
    }
    dataset_destroy(whole);
}

static void test_sampler(void **state) {
    (void)state;
    sampler_options_t options = {.count = SAMPLES, .size = 1, .batch = BATCH};
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sampler_t sampler;
        if (FAILING(&failing, sampler_init(&sampler, &options)) == SGP_OK) sampler_fini(&sampler);
    }
}

static void test_batches_allocate_nothing(void **state) {
    (void)state;
    dataset_t *dataset;
    sampler_t sampler;
    loader_t loader;
    uint64_t indices[BATCH];
    float images[BATCH * SIDE * SIDE];
    int32_t labels[BATCH];
    assert_int_equal(dataset_load(directory, 0, &dataset), SGP_OK);
    sampler_options_t options = {.count = SAMPLES, .size = 1, .batch = BATCH};
    assert_int_equal(sampler_init(&sampler, &options), SGP_OK);
    size_t before = failing_allocations();
    loader_init(&loader, &(loader_options_t){.dataset = dataset, .augment = true});
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        sampler_begin_epoch(&sampler, epoch);
        for (uint64_t step = 0; step < sampler_steps(&sampler); step++) {
            int count = sampler_batch(&sampler, step, indices);
            loader_train(&loader, epoch, indices, count, images, labels);
        }
        loader_test(&loader, 0, BATCH, images, labels);
    }
    assert_int_equal(failing_allocations(), before);
    sampler_fini(&sampler);
    dataset_destroy(dataset);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inspect),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_sampler),
        cmocka_unit_test(test_batches_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
