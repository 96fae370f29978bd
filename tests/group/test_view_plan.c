/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: who takes part in a step, by the definition; and the step at which the graph is formed
 * anew. */
#include "group/view_plan.h"

#include "notices.h"

enum { LAST_STEP = 70 }; /* beyond all steps of random notices */

/* ---- the plan ---- */

static bool in_plan_by_rules(const sgp_member_notice_t *notices, int count, int seat,
                             uint64_t step) {
    for (uint32_t incarnation = 0; incarnation < USES; incarnation++) {
        sgp_view_member_t member;
        if (!kept_in(notices, count, seat, incarnation, &member)) continue;
        if (member.from <= step && step < member.until) return true;
    }
    return false;
}

/* Live: of the newest incarnation, in the plan, and without an end. */
static bool live_by_rules(const sgp_member_notice_t *notices, int count, int seat, uint64_t step) {
    sgp_view_member_t member;
    uint32_t newest;
    if (!newest_in(notices, count, seat, &newest)) return false;
    return kept_in(notices, count, seat, newest, &member) && member.from <= step && !member.end;
}

static void assert_plan(const sgp_view_t *view, const sgp_member_notice_t *notices, int count,
                        uint64_t step) {
    int seats[SEATS], planned = sgp_view_plan(view, step, seats), rank = 0, lives = 0;
    uint64_t live[1];
    int living = sgp_view_live(view, step, live);
    for (int seat = 0; seat < SEATS; seat++) {
        bool in_plan = in_plan_by_rules(notices, count, seat, step);
        bool lives_now = live_by_rules(notices, count, seat, step);
        sgp_seat_state_t state = sgp_view_state(view, seat, step, NULL);
        assert_int_equal(state != SGP_SEAT_ABSENT, in_plan);
        assert_int_equal(state == SGP_SEAT_LIVE, lives_now);
        assert_int_equal(sgp_seat_in(live, seat), lives_now);
        assert_int_equal(sgp_plan_rank(seats, planned, seat), in_plan ? rank : -1);
        rank += in_plan;
        lives += lives_now;
    }
    assert_int_equal(planned, rank);
    assert_int_equal(living, lives);
}

/* Two nodes that heard the same in another order have the same plans, those of the definition. */
static void test_plans_by_definition(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 1, 0);
    for (int round = 0; round < 300; round++) {
        sgp_member_notice_t notices[16], reversed[16];
        int count = (int)sgp_random_below(&random, 17), plans[2][SEATS];
        random_notices(&random, notices, count);
        for (int i = 0; i < count; i++) reversed[i] = notices[count - 1 - i];
        sgp_view_t *view = merged_view(notices, count), *other = merged_view(reversed, count);
        for (uint64_t step = 0; step < LAST_STEP; step++) {
            assert_plan(view, notices, count, step);
            int planned = sgp_view_plan(view, step, plans[0]);
            assert_int_equal(planned, sgp_view_plan(other, step, plans[1]));
            assert_memory_equal(plans[0], plans[1], (size_t)planned * sizeof(int));
        }
        sgp_view_destroy(view);
        sgp_view_destroy(other);
    }
}

static void test_a_plan_holds_until_its_next_change(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 2, 0);
    for (int round = 0; round < 300; round++) {
        sgp_member_notice_t notices[6];
        int plan[SEATS], now[SEATS], planned = 0;
        uint64_t change = 0;
        random_notices(&random, notices, 6);
        sgp_view_t *view = merged_view(notices, 6);
        for (uint64_t step = 0; step < LAST_STEP; step++) {
            if (step == change) {
                planned = sgp_view_plan(view, step, plan);
                change = sgp_view_next_change(view, step);
                assert_true(change > step);
            }
            assert_int_equal(sgp_view_plan(view, step, now), planned);
            assert_memory_equal(now, plan, (size_t)planned * sizeof(int));
        }
        assert_true(change == SGP_VIEW_NEVER);
        sgp_view_destroy(view);
    }
}

static void test_founders_alone(void **state) {
    (void)state;
    int seats[4];
    uint64_t live[2];
    sgp_view_t *view = new_view(100, 4);
    assert_int_equal(sgp_view_plan(view, 12345, seats), 4);
    for (int seat = 0; seat < 4; seat++) assert_int_equal(seats[seat], seat);
    assert_int_equal(sgp_view_live(view, 12345, live), 4);
    assert_true(live[0] == 15 && live[1] == 0);
    assert_true(sgp_view_next_change(view, 0) == SGP_VIEW_NEVER);
    sgp_view_destroy(view);
}

/* A seat that is given again is a hole until the newcomer's first step, and then its. */
static void test_a_seat_given_again(void **state) {
    (void)state;
    uint32_t incarnation;
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    sgp_member_notice_t dead = end_of(SGP_MEMBER_DEAD, 1, 0, 32, 20), join = join_of(1, 1, 48, 7);
    sgp_view_merge(view, &join); /* arrives first: whoever was there is gone */
    assert_int_equal(sgp_view_state(view, 1, 31, &incarnation), SGP_SEAT_HOLE);
    assert_int_equal(incarnation, 0);
    sgp_view_merge(view, &dead);
    assert_int_equal(sgp_view_state(view, 1, 31, &incarnation), SGP_SEAT_HOLE);
    assert_int_equal(sgp_view_state(view, 1, 32, NULL), SGP_SEAT_ABSENT);
    assert_int_equal(sgp_view_state(view, 1, 48, &incarnation), SGP_SEAT_LIVE);
    assert_int_equal(incarnation, 1);
    sgp_view_destroy(view);
}

/* The worked example of docs/membership.md: seats 0 to 3; 3 dies in step 17, 0 has its push of step
 * 16 and 1 a part of that of step 17. */
static void test_worked_example(void **state) {
    (void)state;
    int seats[4];
    uint64_t step = sgp_replan_step(4, 17), live[1];
    assert_true(sgp_replan_interval(4) == 16);
    assert_true(step == 32);
    sgp_view_t *views[3];
    sgp_member_notice_t by_0 = end_of(SGP_MEMBER_DEAD, 3, 0, step, 16), by_1 = by_0;
    by_1.last = 17, by_1.origin = 1;
    by_0.flags = by_1.flags = SGP_MEMBER_CERTAIN;
    for (int i = 0; i < 3; i++) {
        views[i] = new_view(8, 4);
        sgp_view_merge(views[i], i == 1 ? &by_1 : &by_0);
        sgp_view_merge(views[i], i == 1 ? &by_0 : &by_1);
        assert_true(sgp_view_digest(views[i]) == sgp_view_digest(views[0]));
        assert_int_equal(sgp_view_plan(views[i], 31, seats), 4);
        assert_int_equal(sgp_view_state(views[i], 3, 18, NULL), SGP_SEAT_HOLE);
        assert_int_equal(sgp_view_live(views[i], 18, live), 3);
        assert_true(sgp_view_next_change(views[i], 18) == 32);
        assert_int_equal(sgp_view_plan(views[i], 32, seats), 3);
        assert_int_equal(sgp_plan_rank(seats, 3, i), i);
        assert_int_equal(sgp_plan_rank(seats, 3, 3), -1);
    }
    sgp_view_member_t member;
    assert_true(sgp_view_member(views[2], 3, 0, &member));
    assert_true(member.until == 32 && member.last == 17 && member.certain);
    for (int i = 0; i < 3; i++) sgp_view_destroy(views[i]);
}

/* ---- the step of a notice ---- */

static void test_interval(void **state) {
    (void)state;
    for (int live = 1; live <= 65536; live++) {
        uint64_t interval = sgp_replan_interval(live), reach = 0;
        while ((UINT64_C(1) << reach) < (uint64_t)live) reach++;
        assert_true((interval & (interval - 1)) == 0 && interval >= 16);
        assert_true(interval >= 2 * reach + 4);
        assert_true(interval == 16 || interval / 2 < 2 * reach + 4);
    }
    assert_true(sgp_replan_interval(64) == 16 && sgp_replan_interval(65) == 32);
    assert_true(sgp_replan_interval(16384) == 32 && sgp_replan_interval(16385) == 64);
}

static void test_step_of_a_notice(void **state) {
    (void)state;
    static const int lives[] = {1, 2, 4, 64, 65, 1000, 65536};
    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        uint64_t interval = sgp_replan_interval(lives[i]), before = 0;
        for (uint64_t heard = 0; heard < 300; heard++) {
            uint64_t step = sgp_replan_step(lives[i], heard), least = heard + interval / 2 + 1;
            assert_true(step % interval == 0 && step >= least && step - interval < least);
            assert_true(step >= before);
            before = step;
        }
    }
}

/* What a node has heard of comes from others. Whatever it is, its notices are valid. */
static void test_impossible_steps(void **state) {
    (void)state;
    static const uint64_t heard[] = {SGP_MEMBER_STEPS - 1, SGP_MEMBER_STEPS, UINT64_MAX - 40,
                                     UINT64_MAX};
    for (size_t i = 0; i < sizeof heard / sizeof *heard; i++) {
        sgp_member_notice_t dead =
            end_of(SGP_MEMBER_DEAD, 0, 0, sgp_replan_step(65536, heard[i]), 0);
        assert_null(sgp_member_notice_check(&dead, 2));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_by_definition),
        cmocka_unit_test(test_a_plan_holds_until_its_next_change),
        cmocka_unit_test(test_founders_alone),
        cmocka_unit_test(test_a_seat_given_again),
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_step_of_a_notice),
        cmocka_unit_test(test_impossible_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
