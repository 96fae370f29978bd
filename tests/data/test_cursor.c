/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that come and go in the middle of an epoch take every position once. */
#include "data/support.h"

#include "data/cursor.h"
#include "data/sampler.h"

enum { COUNT = 1000, BATCH = 7, CHANGES = 4 };

/* Members of each segment, and the steps that it lasts. */
static const struct {
    int size;
    uint64_t steps;
} changes[CHANGES] = {{4, 9}, {3, 1}, {6, 5}, {2, 1000}};

/* Takes the positions of all members in one step. Returns their number. */
static int take(const cursor_t *cursor, uint64_t step, uint8_t *taken) {
    int total = 0;
    for (int rank = 0; rank < cursor->size; rank++) {
        cursor_part_t part = cursor_part(cursor, step, rank);
        assert_in_range(part.count, 0, BATCH);
        for (int i = 0; i < part.count; i++) {
            assert_in_range(part.first + (uint64_t)i, 0, COUNT - 1);
            taken[part.first + (uint64_t)i]++;
        }
        total += part.count;
    }
    return total;
}

static void each_position_once_whoever_comes_and_goes(void **state) {
    (void)state;
    uint8_t taken[COUNT] = {0};
    cursor_t cursor = {.count = COUNT, .size = changes[0].size, .workers = 1, .batch = BATCH};
    uint64_t step = 0;
    for (int i = 0; i < CHANGES; i++) {
        if (i > 0) cursor = cursor_next(&cursor, step, changes[i].size);
        for (uint64_t s = 0; s < changes[i].steps && step < cursor_end(&cursor); s++, step++) {
            int total = take(&cursor, step, taken);
            if (step + 1 < cursor_end(&cursor)) assert_int_equal(total, cursor.size * BATCH);
        }
    }
    assert_int_equal(step, cursor_end(&cursor));
    for (int i = 0; i < COUNT; i++) assert_int_equal(taken[i], 1);
}

/* The rule of the segments, in numbers: c + ((s - f) size + rank) batch. */
static void positions_follow_the_rule(void **state) {
    (void)state;
    cursor_t first = {.count = COUNT, .size = 4, .workers = 1, .batch = BATCH};
    cursor_t second = cursor_next(&first, 9, 3);
    assert_int_equal(second.begin, 9 * 4 * BATCH);
    assert_int_equal(cursor_part(&first, 2, 1).first, (2 * 4 + 1) * BATCH);
    assert_int_equal(cursor_part(&second, 11, 2).first, 9 * 4 * BATCH + (2 * 3 + 2) * BATCH);
    assert_int_equal(cursor_part(&second, 11, 2).count, BATCH);
}

/* Beyond 32 bits. */
static void counts_of_64_bits(void **state) {
    (void)state;
    cursor_t cursor = {.count = 5000000000000, .size = 8, .workers = 2, .batch = 256};
    assert_int_equal(cursor_end(&cursor), 2441406250);
    assert_int_equal(cursor_part(&cursor, 2441406249, 7).first, 5000000000000 - 256);
    assert_int_equal(cursor_part(&cursor, 2441406249, 7).count, 256);
}

/* A step behind the end takes nothing, and its filling starts the epoch over. */
static void behind_the_end_nothing_is_left(void **state) {
    (void)state;
    cursor_t cursor = {.count = 10, .size = 2, .workers = 1, .batch = 8};
    assert_int_equal(cursor_end(&cursor), 1);
    assert_int_equal(cursor_part(&cursor, 0, 1).count, 5);
    assert_int_equal(cursor_part(&cursor, 3, 1).count, 0);
    cursor_t over = cursor_next(&cursor, 5, 3);
    assert_int_equal(over.begin, 10);
    assert_int_equal(cursor_end(&over), 5);
}

/* A node that joins in the middle of an epoch takes up the segment of the others. */
static void a_sampler_changes_its_members(void **state) {
    (void)state;
    sampler_t samplers[3];
    uint8_t taken[100] = {0};
    for (int rank = 0; rank < 3; rank++) {
        sampler_options_t options = {
            .count = 100, .rank = rank % 2, .size = 2, .batch = 8, .seed = 3};
        assert_int_equal(sampler_init(&samplers[rank], &options), SGP_OK);
        sampler_begin_epoch(&samplers[rank], 4);
    }
    for (uint64_t step = 0; step < 7; step++) {
        for (int rank = 0; rank < (step < 2 ? 2 : 3); rank++) {
            uint64_t indices[8];
            if (step == 2)
                assert_int_equal(sampler_set_members(&samplers[rank], 2, rank, 3), SGP_OK);
            int count = sampler_batch(&samplers[rank], step, indices);
            for (int i = 0; i < count; i++) taken[indices[i]]++;
        }
    }
    for (int i = 0; i < 100; i++) assert_int_equal(taken[i], 1);
    assert_int_equal(sampler_steps(&samplers[0]), 2 + (100 - 2 * 2 * 8 + 23) / 24);
    log_start();
    assert_int_equal(sampler_set_members(&samplers[0], 9, 3, 3), SGP_ERR_INVALID);
    assert_logged("rank is 3 of 3", NULL);
    for (int rank = 0; rank < 3; rank++) sampler_fini(&samplers[rank]);
}

/* What others have left of an epoch. */
static void a_sampler_begins_in_the_middle(void **state) {
    (void)state;
    sampler_t sampler;
    sampler_options_t options = {.count = 100, .rank = 1, .size = 3, .batch = 8, .seed = 3};
    assert_int_equal(sampler_init(&sampler, &options), SGP_OK);
    sampler_begin_epoch(&sampler, 4);
    sampler_begin_rest(&sampler, 5, 40);
    assert_int_equal(sampler_steps(&sampler), 5 + (60 + 23) / 24);
    assert_int_equal(sampler_part(&sampler, 6).first, 40 + (3 + 1) * 8);
    assert_int_equal(sampler_reached(&sampler, 6), 64);
    sampler_begin_epoch(&sampler, 5);
    assert_int_equal(sampler_steps(&sampler), (100 + 23) / 24);
    sampler_fini(&sampler);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_position_once_whoever_comes_and_goes),
        cmocka_unit_test(positions_follow_the_rule),
        cmocka_unit_test(counts_of_64_bits),
        cmocka_unit_test(behind_the_end_nothing_is_left),
        cmocka_unit_test(a_sampler_changes_its_members),
        cmocka_unit_test(a_sampler_begins_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
