/* SPDX-License-Identifier: Apache-2.0 */
/* A node that hears of a change of the plan too late: few positions are taken twice, and none is missing. */
#include "data/support.h"

#include "data/sampler.h"

enum { COUNT = 997, BATCH = 3, NODES = 4, CHANGE = 16, ROOM = 4096 };

typedef struct run {
    sampler_t samplers[NODES + 1]; /* the last one joins */
    bool present[NODES + 1];
    uint8_t taken[COUNT];
} run_t;

static void begin(run_t *run) {
    memset(run, 0, sizeof *run);
    for (int i = 0; i <= NODES; i++) {
        sampler_options_t options = {
            .count = COUNT, .rank = i % NODES, .size = NODES, .batch = BATCH, .seed = 1};
        assert_int_equal(sampler_init(&run->samplers[i], &options), SGP_OK);
        run->present[i] = i < NODES;
    }
    sampler_set_self(&run->samplers[NODES], segments_number(NODES, 0));
}

static void end(run_t *run) {
    for (int i = 0; i <= NODES; i++) sampler_fini(&run->samplers[i]);
}

static void take(run_t *run, int node, uint64_t step) {
    const sampler_t *sampler = &run->samplers[node];
    cursor_part_t part = sampler_part(sampler, step);
    for (int i = 0; i < part.count; i++) run->taken[sampler_entry(sampler, step, &part, i)]++;
}

static void tell(run_t *run, int node, segments_event_t event, uint64_t now) {
    assert_int_equal(sampler_tell(&run->samplers[node], &event, 1, now, NULL), SGP_OK);
}

static sgp_status_t agree(run_t *run, uint64_t step) {
    static unsigned char bytes[NODES + 1][ROOM];
    sampler_report_t reports[NODES + 1];
    size_t count = 0;
    sgp_status_t status = SGP_OK;
    for (int i = 0; i <= NODES; i++) {
        if (!run->present[i]) continue;
        reports[count].bytes = bytes[i];
        assert_int_equal(sampler_report(&run->samplers[i], bytes[i], ROOM, &reports[count++].size),
                         SGP_OK);
    }
    for (int i = 0; i <= NODES; i++)
        if (run->present[i]) status = sampler_make_up(&run->samplers[i], step, reports, count);
    return status;
}

/* All steps; node 1 hears of the event `late` steps after the change, or at the end of the epoch. Returns the number of
 * positions that were taken twice. */
static int run_epoch(run_t *run, segments_event_t event, uint64_t late) {
    uint64_t step = 0;
    for (; step < sampler_steps(&run->samplers[0]); step++) {
        if (event.kind == SEGMENTS_JOINS && step == CHANGE) run->present[NODES] = true;
        if (event.kind == SEGMENTS_LEAVES && step == event.first) run->present[3] = false;
        for (int i = 0; i <= NODES; i++) {
            if (step == (i == 1 ? CHANGE + late : CHANGE)) tell(run, i, event, step);
            if (run->present[i]) take(run, i, step);
        }
    }
    sgp_status_t first = agree(run, step);
    assert_int_equal(first, CHANGE + late >= step ? SGP_ERR_AGAIN : SGP_OK);
    if (first) assert_int_equal(agree(run, step), SGP_OK);
    for (; step < sampler_steps(&run->samplers[0]); step++)
        for (int i = 0; i <= NODES; i++)
            if (run->present[i]) take(run, i, step);
    int twice = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_in_range(run->taken[i], 1, 2);
        twice += run->taken[i] == 2;
    }
    return twice;
}

static void late_news_take_few_twice(void **state) {
    (void)state;
    segments_event_t events[] = {
        {SEGMENTS_LEAVES, .member = segments_number(3, 0), .first = 11, .end = CHANGE},
        {SEGMENTS_JOINS, .member = segments_number(NODES, 0), .first = CHANGE}};
    for (int kind = 0; kind < 2; kind++)
        for (uint64_t late = 0; late < 12; late++) {
            run_t run;
            begin(&run);
            int twice = run_epoch(&run, events[kind], late);
            assert_in_range(twice, 0, late * BATCH);
            /* The rank of node 1 stays, so that its first step is the same by both plans. */
            if (late > 1) assert_true(twice > 0);
            end(&run);
        }
}

/* Node 2 passes over all steps from the change on. What node 1 takes late, by the plan of 4 nodes, is node 0's by the plan
 * of 3, or its own later, and then it is taken twice; or node 2's, or its own in a late step, and then it is not made
 * up. */
static void what_is_used_is_not_made_up(void **state) {
    (void)state;
    enum { LATE = 8, PASSED = 40 };
    run_t run;
    begin(&run);
    run.present[2] = false;
    for (uint64_t step = 0; step < CHANGE; step++) take(&run, 2, step);
    segments_event_t pass = {SEGMENTS_PASSES, .member = segments_number(2, 0), .first = CHANGE,
                             .end = CHANGE + PASSED};
    tell(&run, 0, pass, 0);
    segments_event_t death = {SEGMENTS_LEAVES, .member = segments_number(3, 0), .first = CHANGE,
                              .end = CHANGE};
    int expected = 0;
    for (int s = 1; s < LATE; s++) {
        int batch = 4 * s + 1, rank = batch % 3; /* counted from the change */
        if (rank == 0 || (rank == 1 && batch / 3 >= LATE)) expected += BATCH;
    }
    uint64_t step = 0;
    for (; step < sampler_steps(&run.samplers[0]); step++) {
        if (step == CHANGE) run.present[3] = false;
        if (step == CHANGE + PASSED) run.present[2] = true;
        for (int i = 0; i < NODES; i++) {
            if (step == (i == 1 ? CHANGE + LATE : CHANGE)) tell(&run, i, death, step);
            if (run.present[i]) take(&run, i, step);
        }
    }
    assert_int_equal(agree(&run, step), SGP_OK);
    for (; step < sampler_steps(&run.samplers[0]); step++)
        for (int i = 0; i < 3; i++) take(&run, i, step);
    int twice = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_in_range(run.taken[i], 1, 2);
        twice += run.taken[i] == 2;
    }
    assert_int_equal(twice, expected);
    end(&run);
}

/* From the others, at the end of the main part. */
static void news_may_come_with_the_reports(void **state) {
    (void)state;
    segments_event_t join = {SEGMENTS_JOINS, .member = segments_number(NODES, 0), .first = CHANGE};
    run_t run;
    begin(&run);
    assert_in_range(run_epoch(&run, join, 1000), 1, 100 * BATCH);
    end(&run);
}

/* A node that reads of its own death has taken what it has taken. */
static void a_death_by_mistake_takes_nothing_twice(void **state) {
    (void)state;
    run_t run;
    begin(&run);
    segments_event_t death = {SEGMENTS_LEAVES, .member = segments_number(2, 0), .first = 3,
                              .end = CHANGE};
    uint64_t step = 0;
    for (; step < sampler_steps(&run.samplers[0]); step++) {
        for (int i = 0; i < NODES; i++)
            if (step == 10) tell(&run, i, death, step);
        for (int i = 0; i < NODES; i++)
            if (i != 2 || step < 10) take(&run, i, step);
    }
    assert_int_equal(agree(&run, step), SGP_ERR_AGAIN); /* it alone knows how far it came */
    assert_int_equal(agree(&run, step), SGP_OK);
    for (; step < sampler_steps(&run.samplers[0]); step++)
        for (int i = 0; i < NODES; i++) take(&run, i, step);
    for (int i = 0; i < COUNT; i++) assert_int_equal(run.taken[i], 1);
    end(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_news_take_few_twice),
        cmocka_unit_test(what_is_used_is_not_made_up),
        cmocka_unit_test(news_may_come_with_the_reports),
        cmocka_unit_test(a_death_by_mistake_takes_nothing_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
