/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "base/logging.h"
#include "base/memory.h"
#include "base/random.h"

#include <math.h>
#include <string.h>

static void test_status_texts(void **state) {
    (void)state;
    assert_string_equal(sgp_status_name(SGP_ERR_TIMEOUT), "SGP_ERR_TIMEOUT");
    assert_string_equal(sgp_status_message(SGP_OK), "success");
    assert_string_equal(sgp_status_name((sgp_status_t)-999), "SGP_ERR_UNKNOWN");
}

static char line_seen[64];
static int rank_seen;

static void keep(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)user;
    strncpy(line_seen, line, sizeof line_seen - 1);
    rank_seen = rank;
}

static void test_log(void **state) {
    (void)state;
    assert_int_equal(sgp_fail(SGP_ERR_IO, "nobody hears"), SGP_ERR_IO);
    sgp_log_set(keep, NULL, SGP_LOG_WARNING);
    sgp_log_set_rank(3);
    assert_int_equal(sgp_fail(SGP_ERR_INVALID, "count is %d", 0), SGP_ERR_INVALID);
    assert_string_equal(line_seen, "count is 0");
    assert_int_equal(rank_seen, 3);
    sgp_log(SGP_LOG_INFO, "below the level");
    assert_string_equal(line_seen, "count is 0");
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
}

static void test_memory_is_aligned_and_zero(void **state) {
    (void)state;
    size_t sizes[] = {0, 1, 63, 64, 4096, (size_t)5 << 20};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        unsigned char *memory = sgp_memory_alloc(sizes[s]);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % SGP_ALIGNMENT, 0);
        for (size_t i = 0; i < sizes[s]; i++) assert_int_equal(memory[i], 0);
        memset(memory, 1, sizes[s]);
        sgp_memory_free(memory);
    }
    sgp_memory_free(NULL);
    assert_null(sgp_memory_alloc(SIZE_MAX));
}

/* First outputs of xoshiro256** for the state {1, 2, 3, 4}: computed by hand from its definition.
 */
static void test_generator(void **state) {
    (void)state;
    sgp_random_t random = {{1, 2, 3, 4}};
    assert_true(sgp_random_u64(&random) == 11520);
    assert_true(sgp_random_u64(&random) == 0);
    assert_true(sgp_random_u64(&random) == 1509978240);
}

static void test_streams_differ_and_repeat(void **state) {
    (void)state;
    sgp_random_t a, b, c, d;
    sgp_random_init(&a, 1, 2);
    sgp_random_init(&b, 1, 2);
    sgp_random_init(&c, 2, 1);
    sgp_random_init(&d, 1, 3);
    uint64_t first = sgp_random_u64(&a);
    assert_true(first == sgp_random_u64(&b));
    assert_true(first != sgp_random_u64(&c));
    assert_true(first != sgp_random_u64(&d));
}

static void test_distributions(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    sgp_random_t random;
    sgp_random_init(&random, 5, 0);
    double sum = 0, squares = 0, uniform = 0;
    int counts[5] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double x = sgp_random_normal(&random);
        sum += x;
        squares += x * x;
        uniform += sgp_random_double(&random);
        counts[sgp_random_below(&random, 5)]++;
    }
    assert_true(fabs(sum / DRAWS) < 0.015);
    assert_true(fabs(squares / DRAWS - 1) < 0.03);
    assert_true(fabs(uniform / DRAWS - 0.5) < 0.005);
    for (int i = 0; i < 5; i++) assert_in_range(counts[i], 19400, 20600);
}

static void test_shuffle_is_a_permutation(void **state) {
    (void)state;
    uint32_t values[1000];
    int moved = 0, seen[1000] = {0};
    for (uint32_t i = 0; i < 1000; i++) values[i] = i;
    sgp_random_t random;
    sgp_random_init(&random, 5, 1);
    sgp_random_shuffle(&random, values, 1000);
    uint64_t wide[1000];
    for (uint32_t i = 0; i < 1000; i++) wide[i] = i;
    sgp_random_init(&random, 5, 1);
    sgp_random_shuffle_u64(&random, wide, 1000);
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(wide[i], values[i]);
    for (uint32_t i = 0; i < 1000; i++) {
        seen[values[i]]++;
        moved += values[i] != i;
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(seen[i], 1);
    assert_in_range(moved, 980, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_texts),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_memory_is_aligned_and_zero),
        cmocka_unit_test(test_generator),
        cmocka_unit_test(test_streams_differ_and_repeat),
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_shuffle_is_a_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
