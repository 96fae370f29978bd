/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of positions against an array of marks. */
#include "data/support.h"

#include "base/random.h"
#include "data/position_set.h"

enum { COUNT = 300, RANGES = 25 };

static void add_random(sgp_random_t *random, position_set_t *set, uint8_t *marks) {
    for (int i = 0; i < RANGES; i++) {
        uint64_t first = sgp_random_below(random, COUNT),
                 end = first + sgp_random_below(random, 12);
        if (end > COUNT) end = COUNT;
        assert_int_equal(position_set_append(set, first, end), SGP_OK);
        memset(marks + first, 1, end - first);
    }
    position_set_arrange(set);
}

static void assert_same(const position_set_t *set, const uint8_t *marks) {
    uint64_t index = 0;
    for (uint64_t i = 0; i < COUNT; i++)
        if (marks[i]) assert_int_equal(position_set_at(set, index++), i);
    assert_int_equal(position_set_total(set), index);
    for (size_t i = 1; i < set->count; i++)
        assert_true(set->ranges[i].first > set->ranges[i - 1].end);
}

static void sets_are_as_their_marks(void **state) {
    (void)state;
    position_set_t a = {0}, b = {0}, part = {0};
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint8_t in_a[COUNT] = {0}, in_b[COUNT] = {0}, in_part[COUNT] = {0};
        sgp_random_t random;
        sgp_random_init(&random, seed, 0);
        position_set_clear(&a);
        position_set_clear(&b);
        position_set_clear(&part);
        add_random(&random, &a, in_a);
        add_random(&random, &b, in_b);
        assert_same(&a, in_a);
        uint64_t total = position_set_total(&a), first = sgp_random_below(&random, total);
        uint64_t end = first + sgp_random_below(&random, total - first + 1);
        assert_int_equal(position_set_append_part(&part, &a, first, end), SGP_OK);
        position_set_arrange(&part);
        for (uint64_t i = first; i < end; i++) in_part[position_set_at(&a, i)] = 1;
        assert_same(&part, in_part);
        assert_int_equal(position_set_subtract(&a, &b), SGP_OK);
        for (int i = 0; i < COUNT; i++) in_a[i] = in_a[i] && !in_b[i];
        assert_same(&a, in_a);
        assert_int_equal(position_set_append_all(&a, &b), SGP_OK);
        position_set_arrange(&a);
        for (int i = 0; i < COUNT; i++) in_a[i] = in_a[i] || in_b[i];
        assert_same(&a, in_a);
    }
    position_set_fini(&a);
    position_set_fini(&b);
    position_set_fini(&part);
}

static void the_empty_set(void **state) {
    (void)state;
    position_set_t set = {0}, other = {0};
    assert_int_equal(position_set_append(&set, 7, 7), SGP_OK);
    position_set_arrange(&set);
    assert_int_equal(position_set_total(&set), 0);
    assert_int_equal(position_set_append(&other, 2, 4), SGP_OK);
    position_set_arrange(&other);
    assert_int_equal(position_set_subtract(&set, &other), SGP_OK);
    assert_int_equal(position_set_total(&set), 0);
    assert_int_equal(position_set_subtract(&other, &other), SGP_OK);
    assert_int_equal(position_set_total(&other), 0);
    position_set_fini(&set);
    position_set_fini(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_as_their_marks),
        cmocka_unit_test(the_empty_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
