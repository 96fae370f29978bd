/* SPDX-License-Identifier: Apache-2.0 */
/* Where a step is in the samples, also after the number of nodes has changed: against a count step by step. */
#include "cmocka_all.h"

#include "data/cursor.h"
#include "run/epochs.h"

/* A run counted in single steps. */
typedef struct counted {
    uint64_t step, epoch, start, taken;
} counted_t;

static void count_step(counted_t *at, uint64_t samples, uint64_t batch) {
    at->step++;
    at->taken += batch;
    if (at->taken < samples) return;
    at->epoch++;
    at->start = at->step;
    at->taken = 0;
}

static void assert_place(const epochs_t *epochs, const counted_t *at) {
    assert_int_equal(epochs_finished(epochs, at->step), at->epoch);
    assert_int_equal(epochs_start_at(epochs, at->step), at->start);
    assert_int_equal(epochs_start(epochs, at->epoch), at->start);
    assert_int_equal(epochs_taken(epochs, at->step), at->taken);
}

/* The nodes change `changes` times, after ever more steps; then the run goes on to its end. */
static void run_counted(uint64_t count, uint64_t samples, const uint64_t *batches, int changes,
                        uint64_t stretch) {
    epochs_t epochs = epochs_make(count, samples, batches[0]);
    counted_t at = {0};
    for (int i = 0; i < changes; i++) {
        for (uint64_t k = 0; k < stretch && at.epoch < count; k++) {
            assert_place(&epochs, &at);
            count_step(&at, samples, batches[i]);
        }
        epochs = epochs_continue(&epochs, at.step, batches[i + 1]);
        assert_int_equal(epochs.steps, (samples + batches[i + 1] - 1) / batches[i + 1]);
    }
    for (; at.epoch < count; count_step(&at, samples, batches[changes])) {
        assert_place(&epochs, &at);
        double even = epochs_even_step(&epochs, at.step) * (double)epochs.batch;
        double expected = (double)(at.epoch * epochs.steps * epochs.batch + at.taken);
        assert_true(even > expected - 1e-6 && even < expected + 1e-6);
    }
    assert_place(&epochs, &at);
    assert_int_equal(epochs_total(&epochs), at.step);
}

static void every_step_has_its_place(void **state) {
    (void)state;
    static const uint64_t batches[][4] = {
        {40, 24, 24, 8}, {16, 32, 8, 40}, {8, 8, 8, 8}, {24, 1, 100, 3}};
    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++)
        for (int changes = 0; changes < 4; changes++)
            for (uint64_t stretch = 0; stretch < 40; stretch++) {
                run_counted(4, 103, batches[b], changes, stretch);
                run_counted(3, 96, batches[b], changes, stretch);
                run_counted(2, 5, batches[b], changes, stretch);
            }
}

/* Without a change the steps of an epoch are those of the sampler, and a step is at itself. */
static void without_a_change_steps_are_counted(void **state) {
    (void)state;
    for (uint64_t samples = 1; samples < 60; samples++) {
        cursor_t cursor = {.count = samples, .size = 3, .workers = 1, .batch = 4};
        epochs_t epochs = epochs_make(5, samples, 12);
        assert_int_equal(epochs.steps, cursor_end(&cursor));
        assert_int_equal(epochs_total(&epochs), 5 * epochs.steps);
        for (uint64_t step = 0; step <= 5 * epochs.steps; step++) {
            assert_true(epochs_even_step(&epochs, step) == (double)step);
            assert_int_equal(epochs_finished(&epochs, step), step / epochs.steps);
        }
    }
}

/* The same members change nothing, and the rest of an epoch is that of the cursor's next segment. */
static void the_rest_is_that_of_the_cursor(void **state) {
    (void)state;
    for (uint64_t step = 0; step < 13; step++) {
        cursor_t five = {.count = 512, .size = 5, .workers = 1, .batch = 8};
        cursor_t three = cursor_next(&five, step, 3);
        epochs_t before = epochs_make(3, 512, 40), after = epochs_continue(&before, step, 24);
        assert_int_equal(after.first, three.step);
        assert_int_equal(after.position, three.begin);
        assert_int_equal(epochs_length(&after, 0), cursor_end(&three));
        epochs_t same = epochs_continue(&before, step, 40);
        assert_int_equal(epochs_total(&same), epochs_total(&before));
    }
}

/* Some of the samples of an epoch are taken once more: its steps are those that the rest needs, and the next epoch is whole. */
static void an_epoch_that_is_made_up_is_longer(void **state) {
    (void)state;
    epochs_t before = epochs_make(3, 512, 40);
    for (uint64_t left = 0; left < 100; left++) {
        epochs_t after = epochs_divide(&before, 1, 13, 13, 512 - left, 24);
        uint64_t more = (left + 23) / 24;
        assert_int_equal(epochs_total(&after), 13 + 13 + more + 22);
        assert_int_equal(epochs_start(&after, 2), 26 + more);
        assert_int_equal(epochs_start_at(&after, 26 + more), 26 + more);
        assert_int_equal(epochs_finished(&after, 26), left > 0 ? 1 : 2);
        assert_true(epochs_even_step(&after, 26 + more) == 2 * 22);
        if (left == 0) continue;
        assert_int_equal(epochs_length(&after, 1), 13 + more);
        assert_int_equal(epochs_taken(&after, 26), 512 - left);
        double even = epochs_even_step(&after, 26) * 24, expected = 22 * 24 + 512 - (double)left;
        assert_true(even > expected - 1e-6 && even < expected + 1e-6);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_has_its_place),
        cmocka_unit_test(an_epoch_that_is_made_up_is_longer),
        cmocka_unit_test(without_a_change_steps_are_counted),
        cmocka_unit_test(the_rest_is_that_of_the_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
