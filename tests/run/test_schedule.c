/* SPDX-License-Identifier: Apache-2.0 */
/* Learning rates against numbers worked out by hand from the paper's recipe. */
#include "data/support.h"

#include "run/option_rows.h"
#include "run/schedule.h"

#include <math.h>

static train_options_t paper(void) {
    train_options_t options;
    train_options_init(&options);
    options.nodes = 32;
    options.batch_size = 256;
    options.lr = 0.1;
    options.epochs = 90;
    options.lr_schedule = "step";
    return options;
}

static void assert_rate(const schedule_t *schedule, uint64_t k, double expected) {
    double rate = schedule_rate(schedule, k);
    if (fabs(rate - expected) > 1e-12 * expected)
        fail_msg("step %llu: %.17g, expected %.17g", (unsigned long long)k, rate, expected);
}

/* 32 nodes of 256: from 0.1 to 3.2 over 5 epochs of 10 steps, and a tenth at 30, 60 and 80. */
static void the_papers_recipe(void **state) {
    (void)state;
    train_options_t options = paper();
    schedule_t schedule = schedule_make(&options, options.nodes, 10);
    assert_int_equal(schedule.steps, 900);
    assert_rate(&schedule, 0, 0.1 + 3.1 / 50);
    assert_rate(&schedule, 24, 0.1 + 3.1 / 2);
    assert_rate(&schedule, 49, 3.2);
    assert_rate(&schedule, 50, 3.2);
    assert_rate(&schedule, 299, 3.2);
    assert_rate(&schedule, 300, 0.32);
    assert_rate(&schedule, 599, 0.32);
    assert_rate(&schedule, 600, 0.032);
    assert_rate(&schedule, 799, 0.032);
    assert_rate(&schedule, 800, 0.0032);
    assert_rate(&schedule, 899, 0.0032);
}

/* 10 epochs of 7 steps: a third of 70 is 23 1/3, two thirds 46 2/3, eight ninths 62 2/9. */
static void milestones_fall_inside_epochs(void **state) {
    (void)state;
    train_options_t options = paper();
    options.epochs = 10;
    options.warmup_epochs = 0;
    schedule_t schedule = schedule_make(&options, options.nodes, 7);
    assert_rate(&schedule, 0, 3.2);
    assert_rate(&schedule, 23, 3.2);
    assert_rate(&schedule, 24, 0.32);
    assert_rate(&schedule, 46, 0.32);
    assert_rate(&schedule, 47, 0.032);
    assert_rate(&schedule, 62, 0.032);
    assert_rate(&schedule, 63, 0.0032);
}

/* 4 nodes of 32 are 128 samples: half the reference rate, from a tenth of it. */
static void small_global_batch_starts_at_a_tenth(void **state) {
    (void)state;
    train_options_t options = paper();
    options.nodes = 4;
    options.batch_size = 32;
    options.warmup_epochs = 2;
    schedule_t schedule = schedule_make(&options, options.nodes, 10);
    assert_rate(&schedule, 0, 0.005 + 0.045 / 20);
    assert_rate(&schedule, 9, 0.005 + 0.045 / 2);
    assert_rate(&schedule, 19, 0.05);
    assert_rate(&schedule, 20, 0.05);
}

/* 5/90 of 9 epochs of 5 steps are 2.5 steps; the third step reaches the full rate. */
static void warmup_may_end_inside_a_step(void **state) {
    (void)state;
    train_options_t options = paper();
    options.epochs = 9;
    schedule_t schedule = schedule_make(&options, options.nodes, 5);
    assert_rate(&schedule, 0, 0.1 + 3.1 / 2.5);
    assert_rate(&schedule, 1, 0.1 + 3.1 * 2 / 2.5);
    assert_rate(&schedule, 2, 3.2);
    assert_rate(&schedule, 3, 3.2);
}

static void cosine_falls_from_full_to_nothing(void **state) {
    (void)state;
    train_options_t options = paper();
    options.lr_schedule = "cosine";
    options.epochs = 10;
    options.warmup_epochs = 2;
    schedule_t schedule = schedule_make(&options, options.nodes, 10);
    assert_rate(&schedule, 9, 0.1 + 3.1 / 2);
    assert_rate(&schedule, 20, 3.2);
    assert_rate(&schedule, 60, 1.6);
    assert_true(schedule_rate(&schedule, 99) > 0 && schedule_rate(&schedule, 99) < 0.005);
    for (uint64_t k = 21; k < 100; k++)
        assert_true(schedule_rate(&schedule, k) < schedule_rate(&schedule, k - 1));
}

static void constant_stays(void **state) {
    (void)state;
    train_options_t options = paper();
    options.lr_schedule = "constant";
    schedule_t schedule = schedule_make(&options, options.nodes, 10);
    assert_rate(&schedule, 50, 3.2);
    assert_rate(&schedule, 899, 3.2);
}

static void names_are_known(void **state) {
    (void)state;
    schedule_kind_t kind = SCHEDULE_COSINE;
    assert_int_equal(schedule_parse("linear", &kind), SGP_ERR_NOT_FOUND);
    assert_int_equal(kind, SCHEDULE_COSINE);
    assert_int_equal(schedule_parse("constant", &kind), SGP_OK);
    assert_int_equal(kind, SCHEDULE_CONSTANT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_papers_recipe),
        cmocka_unit_test(milestones_fall_inside_epochs),
        cmocka_unit_test(small_global_batch_starts_at_a_tenth),
        cmocka_unit_test(warmup_may_end_inside_a_step),
        cmocka_unit_test(cosine_falls_from_full_to_nothing),
        cmocka_unit_test(constant_stays),
        cmocka_unit_test(names_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
