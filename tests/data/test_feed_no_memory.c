/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of a feed fails once, those of its threads too: an error with a line, and nothing is left behind. */
#include "failing_alloc.h"
#include "source_support.h"

#include "data/feed.h"
#include "data/picture/picture_encode.h"

enum { COUNT = 8, SIDE = 12, BATCH = 4 };

static char pixels[64], pictures[64];

static int set_up(void **state) {
    (void)state;
    make_directory(pixels);
    make_directory(pictures);
    write_dataset(pixels, 20, 10, SIDE);
    for (int i = 0; i < COUNT; i++) {
        uint8_t grey[SIDE * SIDE] = {0}, *bytes;
        char path[64];
        size_t size;
        picture_pixels_t picture = {grey, SIDE, SIDE, 1};
        assert_int_equal(picture_encode_jpeg(&picture, 90, &bytes, &size), SGP_OK);
        for (int test = 0; test < 2; test++) {
            snprintf(path, sizeof path, "%s/class%d/%d.jpg", test ? "val" : "train", i % 2, i);
            put_bytes(pictures, path, bytes, size);
        }
        free(bytes);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_directory(pixels);
    remove_directory(pictures);
    return 0;
}

static feed_options_t options_of(const char *data) {
    return (feed_options_t){.data = data,
                            .limit = data == pictures ? COUNT - 1 : 0,
                            .image_size = data == pictures ? 8 : 0,
                            .batch = BATCH,
                            .size = 1,
                            .threads = 2};
}

static void test_create(void **state) {
    (void)state;
    const char *const data[] = {pixels, pictures};
    for (int d = 0; d < 6; d++) { /* of all nodes; divided; of each node */
        feed_options_t options = options_of(data[d % 2]);
        options.private_data = d / 2 == 2;
        if (d / 2 == 1)
            options.split = (division_rule_t){.kind = DIVISION_LABEL, .labels = d == 2 ? 4 : 2};
        options.size = 3;
        failing_t failing = {.may_pass = true, .also = SGP_ERR_IO};
        while (failing_round(&failing)) {
            feed_t *feed = NULL;
            sgp_status_t status = FAILING(&failing, feed_create(&options, &feed));
            assert_true((status == SGP_OK) == (feed != NULL));
            feed_destroy(feed);
        }
        assert_true(failing.round > 5);
    }
}

static sgp_status_t run(const feed_options_t *options) {
    feed_t *feed = NULL;
    feed_batch_t batch;
    sgp_status_t status = feed_create(options, &feed);
    if (!status) status = feed_begin_epoch(feed, 0, 0);
    for (int i = 0; i < 2 && !status; i++) status = feed_next(feed, &batch);
    if (!status) feed_begin_test(feed, 0, COUNT);
    for (int i = 0; i < 2 && !status; i++) status = feed_next(feed, &batch);
    feed_destroy(feed);
    return status;
}

/* A picture for which there is no memory is no bad picture: it is not replaced. */
static void test_batches(void **state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    print_message("skipped: the address sanitizer allocates in a thread that starts, and does not "
                  "survive a failure\n");
    skip();
#endif
    feed_options_t options = options_of(pictures);
    options.skip_bad = true;
    failing_t failing = {.may_pass = true, .also = SGP_ERR_IO, .every_thread = true};
    while (failing_round(&failing)) FAILING(&failing, run(&options));
    assert_true(failing.round > 20);
}

static void assert_allocates_nothing(const char *rule) {
    feed_options_t options = options_of(pixels);
    assert_true(division_parse(rule, &options.split));
    feed_t *feed = NULL;
    feed_batch_t batch;
    assert_int_equal(feed_create(&options, &feed), SGP_OK);
    size_t before = failing_allocations();
    assert_int_equal(feed_begin_epoch(feed, 1, 0), SGP_OK);
    for (uint64_t step = 0; step < feed_steps(feed); step++)
        assert_int_equal(feed_next(feed, &batch), SGP_OK);
    feed_begin_test(feed, 0, 10);
    for (int i = 0; i < 3; i++) assert_int_equal(feed_next(feed, &batch), SGP_OK);
    assert_int_equal(failing_allocations(), before);
    feed_destroy(feed);
}

static void test_pixels_allocate_nothing(void **state) {
    (void)state;
    assert_allocates_nothing("iid");
    assert_allocates_nothing("dirichlet:0.1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_pixels_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
