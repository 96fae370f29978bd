/* SPDX-License-Identifier: Apache-2.0 */
/* Structs of older and newer callers. */
#include "cmocka_all.h"

#include "base/abi.h"

#include <sgp/sgp.h>

#include <stdio.h>
#include <string.h>

typedef struct first {
    size_t count;
    int a, b;
} first_t;

typedef struct second {
    first_t first;
    double c;
} second_t;

static void test_an_older_caller_gets_defaults(void **state) {
    (void)state;
    first_t theirs = {3, 4, 5};
    second_t ours;
    memset(&ours, 0xff, sizeof ours);
    assert_int_equal(sgp_abi_read("x", &theirs, sizeof theirs, &ours, sizeof ours, sizeof theirs),
                     SGP_OK);
    assert_memory_equal(&ours.first, &theirs, sizeof theirs);
    assert_true(ours.c == 0);
}

static void test_a_newer_caller_must_leave_the_rest_at_zero(void **state) {
    (void)state;
    second_t theirs = {{3, 4, 5}, 0};
    first_t ours;
    size_t size = sizeof theirs, least = sizeof ours;
    assert_int_equal(sgp_abi_read("x", &theirs, size, &ours, sizeof ours, least), SGP_OK);
    assert_memory_equal(&ours, &theirs.first, sizeof ours);
    theirs.c = 1;
    assert_int_equal(sgp_abi_read("x", &theirs, size, &ours, sizeof ours, least), SGP_ERR_INVALID);
    assert_non_null(strstr(sgp_last_error(), "needs a newer libsgp"));
}

static void test_sizes_that_make_no_sense(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, sizeof(first_t) - 4, sizeof(first_t) + 1, 1 << 20};
    static char theirs[1 << 20];
    first_t ours;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(sgp_abi_read("x", theirs, sizes[i], &ours, sizeof ours, sizeof ours),
                         SGP_ERR_INVALID);
        assert_non_null(strstr(sgp_last_error(), "must be its sizeof"));
    }
    assert_int_equal(sgp_abi_read("x", NULL, sizeof ours, &ours, sizeof ours, sizeof ours),
                     SGP_ERR_INVALID);
}

static void test_results_are_cut_or_filled_up(void **state) {
    (void)state;
    second_t result = {{1, 2, 3}, 4}, whole;
    first_t part;
    sgp_abi_write(&result, sizeof result, &part, sizeof part);
    assert_memory_equal(&part, &result.first, sizeof part);
    memset(&whole, 0xff, sizeof whole);
    sgp_abi_write(&part, sizeof part, &whole, sizeof whole);
    assert_memory_equal(&whole.first, &part, sizeof part);
    assert_true(whole.c == 0);
}

static void test_the_version_is_three_numbers(void **state) {
    (void)state;
    int major, minor, patch;
    assert_int_equal(sscanf(sgp_version(), "%d.%d.%d", &major, &minor, &patch), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_older_caller_gets_defaults),
        cmocka_unit_test(test_a_newer_caller_must_leave_the_rest_at_zero),
        cmocka_unit_test(test_sizes_that_make_no_sense),
        cmocka_unit_test(test_results_are_cut_or_filled_up),
        cmocka_unit_test(test_the_version_is_three_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
