/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an epoch's main part, with events in odd places: beyond it, after the reports, in the middle of making up. */
#include "data/support.h"

#include "data/sampler.h"

enum {
    COUNT = 499,
    BATCH = 3,
    NODES = 4,
    STEPS = (COUNT + NODES * BATCH - 1) / (NODES * BATCH),
    ROOM = 4096
};

typedef struct run {
    sampler_t samplers[NODES];
    unsigned char bytes[NODES][ROOM];
    sampler_report_t reports[NODES];
    uint8_t taken[COUNT];
} run_t;

static void begin(run_t *run) {
    memset(run, 0, sizeof *run);
    for (int i = 0; i < NODES; i++) {
        sampler_options_t options = {
            .count = COUNT, .rank = i, .size = NODES, .batch = BATCH, .seed = 1};
        assert_int_equal(sampler_init(&run->samplers[i], &options), SGP_OK);
    }
}

static void end(run_t *run) {
    for (int i = 0; i < NODES; i++) sampler_fini(&run->samplers[i]);
}

static void take(run_t *run, int nodes, uint64_t first, uint64_t last) {
    for (uint64_t step = first; step < last; step++)
        for (int i = 0; i < nodes; i++) {
            const sampler_t *sampler = &run->samplers[i];
            cursor_part_t part = sampler_part(sampler, step);
            for (int k = 0; k < part.count; k++)
                run->taken[sampler_entry(sampler, step, &part, k)]++;
        }
}

static void tell(run_t *run, int nodes, segments_event_t event, uint64_t now) {
    for (int i = 0; i < nodes; i++)
        assert_int_equal(sampler_tell(&run->samplers[i], &event, 1, now, NULL), SGP_OK);
}

static void report(run_t *run, int nodes) {
    for (int i = 0; i < nodes; i++) {
        run->reports[i].bytes = run->bytes[i];
        assert_int_equal(
            sampler_report(&run->samplers[i], run->bytes[i], ROOM, &run->reports[i].size), SGP_OK);
    }
}

static void make_up(run_t *run, int nodes, uint64_t step) {
    for (int i = 0; i < nodes; i++)
        assert_int_equal(sampler_make_up(&run->samplers[i], step, run->reports, (size_t)nodes),
                         SGP_OK);
}

static void assert_all_once(const run_t *run) {
    uint64_t missed = 1;
    assert_int_equal(sampler_missed(&run->samplers[0], UINT64_MAX, &missed), SGP_OK);
    assert_int_equal(missed, 0);
    for (int i = 0; i < COUNT; i++) assert_int_equal(run->taken[i], 1);
}

/* Node 3 takes the steps before 20, and dies. */
static void lose_node_3(run_t *run, uint64_t leaves) {
    segments_event_t death = {SEGMENTS_LEAVES, .member = segments_number(3, 0), .first = 20,
                              .end = leaves};
    take(run, 4, 0, 20);
    tell(run, 3, death, 20);
}

/* A hole takes no part in making up, though the plan has it for some more steps; in the next epoch it is in the plan. */
static void a_hole_makes_nothing_up(void **state) {
    (void)state;
    run_t run;
    begin(&run);
    lose_node_3(&run, STEPS + 50);
    assert_int_equal(sampler_steps(&run.samplers[0]), STEPS);
    take(&run, 3, 20, STEPS);
    report(&run, 3);
    make_up(&run, 3, STEPS);
    uint64_t steps = sampler_steps(&run.samplers[0]);
    assert_true(steps > STEPS + 4);
    take(&run, 3, STEPS, steps);
    assert_all_once(&run);
    sampler_begin_epoch(&run.samplers[0], 1);
    uint64_t left = STEPS + 50 - steps;
    assert_int_equal(segments_at(&run.samplers[0].main, left - 1)->size, 4);
    assert_int_equal(segments_at(&run.samplers[0].main, left)->size, 3);
    end(&run);
}

/* Nor does one without a report. Nothing is known of its last steps, and nothing is taken twice. */
static void one_without_a_report_takes_no_part(void **state) {
    (void)state;
    run_t run;
    begin(&run);
    segments_event_t pass = {SEGMENTS_PASSES, .member = segments_number(0, 0), .first = 7,
                             .end = 12};
    assert_int_equal(sampler_tell(&run.samplers[0], &pass, 1, 12, NULL), SGP_OK);
    take(&run, 4, 0, STEPS);
    for (uint64_t i = 7 * 12; i < 12 * 12; i += 12)
        for (uint64_t k = 0; k < BATCH; k++) run.taken[i + k] = 0;
    report(&run, 3);
    make_up(&run, 3, STEPS);
    assert_int_equal(sampler_steps(&run.samplers[0]), STEPS + 2); /* 15 positions of 9 a step */
    take(&run, 3, STEPS, STEPS + 2);
    assert_all_once(&run);
    end(&run);
}

/* News that come after the reports change nothing that was agreed, and hold for the steps after it. */
static void news_after_the_reports(void **state) {
    (void)state;
    run_t run;
    begin(&run);
    lose_node_3(&run, 32);
    uint64_t main_steps = sampler_steps(&run.samplers[0]);
    take(&run, 3, 20, main_steps);
    report(&run, 3);
    segments_event_t leave = {SEGMENTS_LEAVES, .member = segments_number(2, 0),
                              .first = main_steps + 2, .end = main_steps + 2};
    assert_int_equal(sampler_tell(&run.samplers[0], &leave, 1, main_steps, NULL), SGP_OK);
    make_up(&run, 3, main_steps);
    assert_int_equal(sampler_tell(&run.samplers[1], &leave, 1, main_steps, NULL), SGP_OK);
    assert_int_equal(sampler_steps(&run.samplers[0]), sampler_steps(&run.samplers[1]));
    take(&run, 3, main_steps, main_steps + 2);
    take(&run, 2, main_steps + 2, sampler_steps(&run.samplers[0]));
    assert_all_once(&run);
    for (int i = 0; i < 2; i++) {
        sampler_begin_epoch(&run.samplers[i], 1);
        assert_int_equal(sampler_steps(&run.samplers[i]), (COUNT + 2 * BATCH - 1) / (2 * BATCH));
    }
    end(&run);
}

/* What a node loses or passes over in a round is made up in the next one, and nothing is left after the last. */
static void a_round_makes_up_the_losses_of_the_last(void **state) {
    (void)state;
    for (uint64_t at = 0; at < 4; at++) {
        run_t run;
        begin(&run);
        lose_node_3(&run, STEPS);
        take(&run, 3, 20, STEPS);
        report(&run, 3);
        make_up(&run, 3, STEPS);
        uint64_t end_of_round = sampler_steps(&run.samplers[0]);
        assert_true(end_of_round > STEPS + at);
        take(&run, 2, STEPS,
             STEPS + at); /* node 2 dies in the beginning, and node 1 passes over the rest */
        take(&run, 1, STEPS + at, end_of_round);
        segments_event_t death = {SEGMENTS_LEAVES, .member = segments_number(2, 0), .first = 0,
                                  .end = end_of_round};
        segments_event_t pass = {SEGMENTS_PASSES, .member = segments_number(1, 0),
                                 .first = STEPS + at, .end = end_of_round};
        tell(&run, 2, death, end_of_round);
        assert_int_equal(sampler_tell(&run.samplers[1], &pass, 1, end_of_round, NULL), SGP_OK);
        report(&run, 2);
        make_up(&run, 2, end_of_round);
        take(&run, 2, end_of_round, sampler_steps(&run.samplers[0]));
        assert_int_equal(sampler_steps(&run.samplers[0]), sampler_steps(&run.samplers[1]));
        assert_all_once(&run);
        report(&run, 2);
        make_up(&run, 2, sampler_steps(&run.samplers[0]));
        assert_int_equal(sampler_reached(&run.samplers[0], sampler_steps(&run.samplers[0])), COUNT);
        sampler_begin_epoch(&run.samplers[0], 1);
        assert_int_equal(sampler_steps(&run.samplers[0]), (COUNT + 2 * BATCH - 1) / (2 * BATCH));
        end(&run);
    }
}

/* The rest goes to others, and is made up again, with what was lost. */
static void others_go_on_making_up(void **state) {
    (void)state;
    for (uint64_t at = 0; at <= 3; at++) {
        run_t run;
        static unsigned char bytes[ROOM];
        begin(&run);
        lose_node_3(&run, STEPS + 8);
        take(&run, 3, 20, STEPS);
        report(&run, 3);
        make_up(&run, 3, STEPS);
        take(&run, 2, STEPS, STEPS + at); /* node 2 is dead, and takes nothing of it */
        segments_event_t death = {SEGMENTS_LEAVES, .member = segments_number(2, 0), .first = STEPS,
                                  .end = STEPS + 3};
        if (at > 0) tell(&run, 2, death, STEPS + at);
        size_t size = sampler_state_bytes(&run.samplers[0]);
        assert_true(size <= ROOM);
        sampler_save(&run.samplers[0], bytes);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(sampler_restore(&run.samplers[i], bytes, size), SGP_OK);
            assert_int_equal(sampler_set_members(&run.samplers[i], STEPS + at, i, 4), SGP_OK);
            assert_int_equal(sampler_steps(&run.samplers[i]), STEPS + at);
        }
        report(&run, 4);
        make_up(&run, 4, STEPS + at);
        take(&run, 4, STEPS + at, sampler_steps(&run.samplers[0]));
        assert_all_once(&run);
        end(&run);
    }
}

/* A checkpoint in the main part knows what others have passed over, and who has died. */
static void a_checkpoint_knows_all_reports(void **state) {
    (void)state;
    run_t run;
    static unsigned char bytes[ROOM];
    segments_event_t death = {SEGMENTS_LEAVES, .member = segments_number(3, 0), .first = 12,
                              .end = 32};
    begin(&run);
    take(&run, 4, 0, 12);
    assert_int_equal(sampler_tell(&run.samplers[2], &death, 1, 12, NULL), SGP_OK);
    take(&run, 1, 12, 15);
    for (int i = 1; i < 3; i++) { /* node 0 takes the steps up to 15; the others pass over them */
        segments_event_t pass = {SEGMENTS_PASSES, .member = segments_number((uint32_t)i, 0),
                                 .first = 12, .end = 15};
        assert_int_equal(sampler_tell(&run.samplers[i], &pass, 1, 15, NULL), SGP_OK);
    }
    report(&run, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sampler_merge(&run.samplers[i], 15, run.reports, 3), SGP_OK);
    sampler_save(&run.samplers[0], bytes);
    size_t size = sampler_state_bytes(&run.samplers[0]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sampler_restore(&run.samplers[i], bytes, size), SGP_OK);
        assert_int_equal(sampler_set_members(&run.samplers[i], 15, i, 2), SGP_OK);
    }
    uint64_t main_steps = sampler_steps(&run.samplers[0]);
    take(&run, 2, 15, main_steps);
    report(&run, 2);
    make_up(&run, 2, main_steps);
    take(&run, 2, main_steps, sampler_steps(&run.samplers[1]));
    assert_all_once(&run);
    end(&run);
}

static void bad_reports_change_nothing(void **state) {
    (void)state;
    run_t run;
    begin(&run);
    take(&run, 4, 0, STEPS);
    report(&run, 4);
    run.reports[2].size--;
    log_start();
    assert_int_equal(sampler_make_up(&run.samplers[0], STEPS, run.reports, 4), SGP_ERR_FORMAT);
    assert_int_equal(captured.lines, 1);
    run.reports[2].size++;
    make_up(&run, 4, STEPS);
    assert_all_once(&run);
    end(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hole_makes_nothing_up),
        cmocka_unit_test(one_without_a_report_takes_no_part),
        cmocka_unit_test(news_after_the_reports),
        cmocka_unit_test(a_round_makes_up_the_losses_of_the_last),
        cmocka_unit_test(others_go_on_making_up),
        cmocka_unit_test(a_checkpoint_knows_all_reports),
        cmocka_unit_test(bad_reports_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
