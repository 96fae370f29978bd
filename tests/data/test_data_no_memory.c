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

/* More members and absences than there is room for at first; the second half of the events is heard late. */
static sgp_status_t tell_many(sampler_t *sampler) {
    sgp_status_t status = SGP_OK;
    for (uint32_t i = 0; i < 100 && !status; i++) {
        segments_event_t events[] = {
            {SEGMENTS_JOINS, .member = segments_number(i + 2, 0), .first = 2 + i / 10},
            {SEGMENTS_LEAVES, .member = segments_number(i + 2, 0), .first = 3, .end = 4 + i / 10},
            {SEGMENTS_PASSES, .member = segments_number(i % 4, 0), .first = i, .end = i + 1}};
        status = sampler_tell(sampler, events, 3, i / 10, NULL);
    }
    return status;
}

static sgp_status_t make_up(sampler_t *sampler) {
    static unsigned char bytes[32768];
    size_t size = 0;
    sgp_status_t status = sampler_report(sampler, bytes, sizeof bytes, &size);
    sampler_report_t report = {bytes, size};
    return status ? status : sampler_make_up(sampler, sampler_steps(sampler), &report, 1);
}

static sgp_status_t save_and_restore(sampler_t *sampler) {
    static unsigned char bytes[65536];
    size_t size = sampler_state_bytes(sampler);
    assert_true(size <= sizeof bytes);
    sampler_save(sampler, bytes);
    return sampler_restore(sampler, bytes, size);
}

static sgp_status_t come_and_go(sampler_t *sampler) {
    uint64_t missed;
    sgp_status_t status = tell_many(sampler);
    if (!status) status = save_and_restore(sampler);
    if (!status) status = make_up(sampler);
    if (!status) status = sampler_missed(sampler, UINT64_MAX, &missed);
    if (!status) status = save_and_restore(sampler);
    if (!status) status = sampler_set_members(sampler, sampler_steps(sampler), 1, 60);
    if (!status) status = make_up(sampler);
    if (!status) sampler_begin_epoch(sampler, 1);
    return status;
}

/* After a failure the sampler is still of use: it is asked for a batch, and begins another epoch. The C library sorts
 * without memory too. */
static void test_members(void **state) {
    (void)state;
    sampler_options_t options = {.count = 1009, .size = 2, .batch = BATCH};
    failing_t failing = {.may_pass = true};
    while (failing_round(&failing)) {
        sampler_t sampler;
        uint64_t indices[BATCH];
        assert_int_equal(sampler_init(&sampler, &options), SGP_OK);
        FAILING(&failing, come_and_go(&sampler));
        sampler_batch(&sampler, 5, indices);
        sampler_begin_epoch(&sampler, 2);
        sampler_batch(&sampler, 5, indices);
        sampler_fini(&sampler);
    }
    assert_true(failing.round > 20);
}

/* A few events in the middle of an epoch. */
static void test_few_events_allocate_nothing(void **state) {
    (void)state;
    sampler_t sampler;
    sampler_options_t options = {.count = 1009, .size = 2, .batch = BATCH};
    segments_event_t events[] = {
        {SEGMENTS_JOINS, .member = segments_number(2, 0), .first = 16},
        {SEGMENTS_LEAVES, .member = segments_number(1, 0), .first = 6, .end = 32},
        {SEGMENTS_PASSES, .member = segments_number(0, 0), .first = 2, .end = 4}};
    assert_int_equal(sampler_init(&sampler, &options), SGP_OK);
    size_t before = failing_allocations();
    for (int i = 0; i < 3; i++)
        assert_int_equal(sampler_tell(&sampler, &events[i], 1, 7, NULL), SGP_OK);
    sampler_begin_epoch(&sampler, 1);
    assert_int_equal(failing_allocations(), before);
    sampler_fini(&sampler);
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
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_few_events_allocate_nothing),
        cmocka_unit_test(test_batches_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
