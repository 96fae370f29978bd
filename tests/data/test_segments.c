/* SPDX-License-Identifier: Apache-2.0 */
/* Members die, leave, join and pass over steps: no position is taken twice, and none is missing but those that died with
 * a node or in the make-up steps. The events merge in any order. */
#include "data/churn_support.h"

#include "data/segments_record.h"

enum { SEEDS = 100, EPOCHS = 3 };

static uint64_t next_prime(uint64_t from) {
    for (uint64_t n = from | 1;; n += 2) {
        uint64_t d = 3;
        while (d * d <= n && n % d) d += 2;
        if (d * d > n) return n;
    }
}

/* Each position once, but for those that are known to be lost. Returns their number. */
static uint64_t check_taken(world_t *world) {
    uint64_t missing = 0;
    for (uint64_t i = 0; i < world->options.count; i++) {
        assert_in_range(world->taken[i], 0, 1);
        missing += world->taken[i] == 0;
    }
    /* A newcomer may have got the report of one that has died since. */
    uint64_t lost = world->lost + count_missed(world);
    assert_in_range(missing, lost, lost + world->unreported);
    return missing;
}

static void no_position_twice_and_none_lost_unseen(void **state) {
    (void)state;
    uint64_t events = 0, deaths = 0, positions = 0, missing = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        int nodes = 2 + (int)(seed % 8), batch = 1 + (int)(seed % 7),
            workers = 1 + (int)(seed / 7 % 2);
        sampler_options_t options = {.count = next_prime((uint64_t)(60 * nodes * batch * workers)),
                                     .workers = workers,
                                     .batch = batch,
                                     .seed = seed};
        world_t *world = make_world(&options, nodes, seed);
        world->events_per = 20;
        for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
            begin_epoch(world, epoch);
            run_steps(world);
            agree(world);
            run_steps(world);
            missing += check_taken(world);
        }
        events += world->events;
        deaths += world->deaths;
        positions += EPOCHS * options.count;
        destroy_world(world);
    }
    assert_true(events > 500 && deaths > 50);
    assert_true(missing * 20 < positions);
}

/* Without events there is nothing to make up. */
static void nothing_happens(void **state) {
    (void)state;
    sampler_options_t options = {.count = 1009, .workers = 2, .batch = 3, .seed = 4};
    world_t *world = make_world(&options, 4, 1);
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        begin_epoch(world, epoch);
        run_steps(world);
        assert_int_equal(world->step - world->origin, (1009 + 23) / 24);
        agree(world);
        assert_int_equal(steps_of_all(world), (1009 + 23) / 24);
        assert_int_equal(check_taken(world), 0);
    }
    destroy_world(world);
}

/* ---- the events ---- */

enum { EVENTS = 24, ROOM = 8192 };

static segments_t make_segments(int nodes) {
    segments_t segments;
    segments_options_t options = {.count = 5003, .workers = 2, .batch = 3, .nodes = nodes};
    assert_int_equal(segments_init(&segments, &options), SGP_OK);
    return segments;
}

static segments_event_t random_event(sgp_random_t *random) {
    segments_event_t event = {.kind = (segments_event_kind_t)sgp_random_below(random, 3),
                              .member = segments_number((uint32_t)sgp_random_below(random, 7),
                                                        (uint32_t)sgp_random_below(random, 2)),
                              .first = sgp_random_below(random, 90),
                              .candidate = sgp_random_below(random, 3)};
    event.end = event.first + sgp_random_below(random, 40);
    return event;
}

static size_t encode(const segments_t *segments, unsigned char bytes[ROOM]) {
    size_t size = 0;
    assert_int_equal(segments_encode(segments, SEGMENTS_WHOLE, 0, bytes, ROOM, &size), SGP_OK);
    assert_int_equal(size, segments_record_bytes(segments, SEGMENTS_WHOLE));
    return size;
}

/* In any order, one by one or together, and some twice. */
static void events_merge_in_any_order(void **state) {
    (void)state;
    static unsigned char expected[ROOM], found[ROOM];
    for (uint64_t seed = 0; seed < 50; seed++) {
        sgp_random_t random;
        segments_event_t events[EVENTS];
        sgp_random_init(&random, seed, 2);
        for (int i = 0; i < EVENTS; i++) events[i] = random_event(&random);
        segments_t together = make_segments(4), alone = make_segments(4);
        assert_int_equal(segments_apply(&together, events, EVENTS), SGP_OK);
        size_t size = encode(&together, expected);
        uint64_t order[2 * EVENTS];
        for (uint64_t i = 0; i < 2 * EVENTS; i++) order[i] = i % EVENTS;
        sgp_random_shuffle_u64(&random, order, 2 * EVENTS);
        for (int i = 0; i < 2 * EVENTS; i++)
            assert_int_equal(segments_apply(&alone, &events[order[i]], 1), SGP_OK);
        assert_int_equal(encode(&alone, found), size);
        assert_memory_equal(found, expected, size);
        segments_fini(&together);
        segments_fini(&alone);
    }
}

/* The rule in numbers: 4 nodes of 2 workers with batch 3; node 1 is last known in step 4, and leaves at 16. */
static void a_death_returns_its_positions(void **state) {
    (void)state;
    segments_t segments = make_segments(4);
    position_set_t returned = {0};
    segments_event_t death = {SEGMENTS_LEAVES, .member = segments_number(1, 0), .first = 5,
                              .end = 16};
    assert_int_equal(segments_apply(&segments, &death, 1), SGP_OK);
    assert_int_equal(segments_at(&segments, 15)->size, 8);
    assert_int_equal(segments_at(&segments, 16)->size, 6);
    assert_int_equal(segments_at(&segments, 16)->begin, 16 * 24);
    assert_int_equal(segments_rank(&segments, 15, segments_number(2, 0)), 2);
    assert_int_equal(segments_rank(&segments, 16, segments_number(2, 0)), 1);
    assert_int_equal(segments_rank(&segments, 16, segments_number(1, 0)), -1);
    assert_int_equal(segments_end(&segments), 16 + (5003 - 16 * 24 + 17) / 18);
    assert_int_equal(segments_returned(&segments, SEGMENTS_NEVER, &returned), SGP_OK);
    assert_int_equal(position_set_total(&returned), 11 * 6);
    for (uint64_t i = 0; i < 11 * 6; i++)
        assert_int_equal(position_set_at(&returned, i), (5 + i / 6) * 24 + 6 + i % 6);
    position_set_fini(&returned);
    segments_fini(&segments);
}

/* Steps far behind the end overflow nothing. */
static void changes_behind_the_end(void **state) {
    (void)state;
    segments_t segments = make_segments(2);
    position_set_t returned = {0};
    uint64_t end = segments_end(&segments);
    segments_event_t events[] = {
        {SEGMENTS_JOINS, .member = segments_number(9, 0), .first = UINT64_MAX - 5},
        {SEGMENTS_LEAVES, .member = segments_number(0, 0), .first = 3, .end = UINT64_MAX - 1},
        {SEGMENTS_PASSES, .member = segments_number(1, 0), .first = 7, .end = UINT64_MAX}};
    assert_int_equal(segments_apply(&segments, events, 3), SGP_OK);
    assert_int_equal(segments_end(&segments), end);
    assert_int_equal(segments_reached(&segments, UINT64_MAX - 2), 5003);
    assert_int_equal(segments_at(&segments, UINT64_MAX)->begin, 5003);
    assert_int_equal(segments_returned(&segments, SEGMENTS_NEVER, &returned), SGP_OK);
    assert_int_equal(position_set_total(&returned), 5003 - 3 * 12 - 4 * 6);
    position_set_fini(&returned);
    segments_fini(&segments);
}

/* Then the plan of the last ones stays. */
static void everybody_leaves(void **state) {
    (void)state;
    segments_t segments = make_segments(2);
    uint64_t end = segments_end(&segments);
    for (uint32_t i = 0; i < 2; i++) {
        segments_event_t leave = {SEGMENTS_LEAVES, .member = segments_number(i, 0), .first = 8,
                                  .end = 16};
        assert_int_equal(segments_apply(&segments, &leave, 1), SGP_OK);
    }
    assert_int_equal(segments_end(&segments), end);
    assert_int_equal(segments_reached(&segments, 20), 20 * 12);
    assert_int_equal(segments_fold(&segments, 16), SGP_OK);
    assert_int_equal(segments_at(&segments, 16)->size, 2);
    segments_fini(&segments);
}

/* A run that is continued with other members: what was returned stays returned, and nothing else changes. */
static void folding_keeps_what_was_returned(void **state) {
    (void)state;
    segments_t segments = make_segments(3), folded = make_segments(3);
    position_set_t before = {0}, after = {0};
    segments_event_t events[] = {
        {SEGMENTS_LEAVES, .member = segments_number(2, 0), .first = 4, .end = 32},
        {SEGMENTS_PASSES, .member = segments_number(0, 0), .first = 18, .end = 25},
        {SEGMENTS_JOINS, .member = segments_number(1, 1), .first = 48}};
    for (uint64_t step = 0; step < 60; step += 7) {
        segments_t *of[] = {&segments, &folded};
        for (int i = 0; i < 2; i++) assert_int_equal(segments_apply(of[i], events, 3), SGP_OK);
        assert_int_equal(segments_fold(&folded, step), SGP_OK);
        assert_int_equal(segments_end(&folded), segments_end(&segments));
        for (uint64_t s = step; s < step + 60; s++) {
            cursor_part_t a = segments_part(&segments, s, segments_number(1, 0), 1);
            cursor_part_t b = segments_part(&folded, s, segments_number(1, 0), 1);
            assert_true(a.first == b.first && a.count == b.count && a.after == b.after);
        }
        assert_int_equal(segments_returned(&segments, SEGMENTS_NEVER, &before), SGP_OK);
        assert_int_equal(segments_returned(&folded, SEGMENTS_NEVER, &after), SGP_OK);
        assert_int_equal(position_set_total(&before), position_set_total(&after));
        for (uint64_t i = 0; i < position_set_total(&before); i++)
            assert_int_equal(position_set_at(&before, i), position_set_at(&after, i));
    }
    position_set_fini(&before);
    position_set_fini(&after);
    segments_fini(&segments);
    segments_fini(&folded);
}

static void too_many_members_are_refused(void **state) {
    (void)state;
    segments_t segments = make_segments(2);
    segments_event_t *events = calloc(SEGMENTS_MOST_MEMBERS, sizeof *events);
    assert_non_null(events);
    for (uint32_t i = 0; i < SEGMENTS_MOST_MEMBERS; i++)
        events[i] = (segments_event_t){SEGMENTS_JOINS, .member = i + 1, .first = i};
    log_start();
    assert_int_equal(segments_apply(&segments, events, SEGMENTS_MOST_MEMBERS), SGP_ERR_NO_MEMORY);
    assert_logged("the most is 65536", NULL);
    assert_int_equal(segments.member_count, 2);
    free(events);
    segments_fini(&segments);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_position_twice_and_none_lost_unseen),
        cmocka_unit_test(nothing_happens),
        cmocka_unit_test(events_merge_in_any_order),
        cmocka_unit_test(a_death_returns_its_positions),
        cmocka_unit_test(changes_behind_the_end),
        cmocka_unit_test(everybody_leaves),
        cmocka_unit_test(folding_keeps_what_was_returned),
        cmocka_unit_test(too_many_members_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
