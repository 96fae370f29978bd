/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation for a picture fails once, those of libjpeg, libpng and zlib too; libjpeg then
 * tries a smaller block, so a call may succeed. A worker that has run out of memory goes on
 * afterwards, and one that has read a picture allocates no rows for the next of that size. */
#include "failing_alloc.h"
#include "picture_support.h"

enum { SIZE = 24 };

static float out[SIZE * SIZE * 3], expected[SIZE * SIZE * 3];

static const char *const names[] = {"420.jpg", "progressive.jpg", "cmyk.jpg", "rgb16.png",
                                    "interlaced-palette2.png"};
enum { NAMES = sizeof names / sizeof *names };

static void test_worker(void **state) {
    (void)state;
    failing_t failing = {.unlogged = true, .may_pass = true};
    while (failing_round(&failing)) {
        picture_worker_t *worker = NULL;
        sgp_status_t status = FAILING(&failing, picture_worker_create(0, &worker));
        assert_true((status == SGP_OK) == (worker != NULL));
        picture_worker_destroy(worker);
    }
    assert_true(failing.round > 4);
}

static void check_train(const char *name) {
    picture_file_t file = picture_read(name);
    picture_options_t options = picture_options(SIZE);
    options.jitter = 0.4f;
    failing_t failing = {.unlogged = true, .may_pass = true};
    while (failing_round(&failing)) {
        picture_worker_t *worker = picture_worker();
        sgp_status_t status =
            FAILING(&failing, picture_train(worker, &options, file.bytes, file.size, 1, out));
        if (failing.round == 1) memcpy(expected, out, sizeof out);
        if (status) {
            assert_non_null(strstr(picture_reason(worker), "emory"));
            status = picture_train(worker, &options, file.bytes, file.size, 1, out);
        }
        assert_int_equal(status, SGP_OK);
        assert_memory_equal(out, expected, sizeof out);
        picture_worker_destroy(worker);
    }
    free(file.bytes);
}

static void test_train(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) check_train(names[i]);
}

static void check_read(const char *name) {
    picture_file_t file = picture_read(name);
    picture_options_t options = picture_options(SIZE);
    failing_t failing = {.unlogged = true, .may_pass = true};
    while (failing_round(&failing)) {
        picture_info_t info = {.width = -1};
        picture_worker_t *worker = picture_worker();
        sgp_status_t status =
            FAILING(&failing, picture_inspect(worker, file.bytes, file.size, &info));
        assert_true((status == SGP_OK) == (info.width > 0));
        FAILING(&failing, picture_check(worker, file.bytes, file.size));
        FAILING(&failing, picture_test(worker, &options, file.bytes, file.size, out));
        picture_worker_destroy(worker);
    }
    free(file.bytes);
}

static void test_read(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) check_read(names[i]);
}

/* Of ours: libjpeg and libpng allocate for every picture. */
static void test_memory_is_kept(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    picture_file_t file = picture_read("444.jpg");
    picture_options_t options = picture_options(SIZE);
    size_t counts[3];
    for (int i = 0; i < 3; i++) {
        size_t before = failing_allocations();
        assert_int_equal(picture_test(worker, &options, file.bytes, file.size, out), SGP_OK);
        counts[i] = failing_allocations() - before;
    }
    assert_true(counts[1] < counts[0] && counts[2] == counts[1]);
    free(file.bytes);
    picture_worker_destroy(worker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker),
        cmocka_unit_test(test_train),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_memory_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
