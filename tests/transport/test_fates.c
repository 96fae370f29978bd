/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "base/constants.h"
#include "transport/fates.h"

static sgp_fates_t *make(int size) {
    sgp_fates_t *fates = NULL;
    assert_int_equal(sgp_fates_create(size, size, &fates), SGP_OK);
    return fates;
}

/* The first change of a rank stays, and is the only event of it. */
static void test_a_fate_changes_once(void **state) {
    (void)state;
    char why[64];
    sgp_fates_t *fates = make(4);
    assert_int_equal(sgp_fates_first_lost(fates), -1);
    assert_true(sgp_fates_set(fates, 2, sgp_fate_lost(SGP_CAUSE_SILENT), "it has been silent"));
    assert_false(sgp_fates_set(fates, 2, sgp_fate_lost(SGP_CAUSE_CLOSED), "something else"));
    assert_false(sgp_fates_set(fates, 2, sgp_fate_left(), NULL));
    assert_true(sgp_fates_set(fates, 0, sgp_fate_left(), NULL));
    assert_false(sgp_fates_set(fates, 0, sgp_fate_lost(SGP_CAUSE_ENDED), NULL));
    assert_true(sgp_fates_set(fates, 3, sgp_fate_lost(SGP_CAUSE_ENDED), NULL));
    assert_int_equal(sgp_fates_changes(fates), 3);
    static const int order[] = {2, 0, 3};
    for (uint32_t n = 0; n < 3; n++) assert_int_equal(sgp_fates_changed(fates, n), order[n]);
    assert_int_equal(sgp_fates_of(fates, 0).state, SGP_FATE_LEFT);
    assert_int_equal(sgp_fates_of(fates, 1).state, SGP_FATE_PRESENT);
    assert_int_equal(sgp_fates_of(fates, 2).cause, SGP_CAUSE_SILENT);
    assert_string_equal(sgp_fates_why(fates, 2, why, sizeof why), "it has been silent");
    assert_string_equal(sgp_fates_why(fates, 3, why, sizeof why), "its process ended");
    assert_string_equal(sgp_fates_why(fates, 1, why, sizeof why), "");
    assert_int_equal(sgp_fates_first_lost(fates), 2);
    sgp_fates_destroy(fates);
}

static void tell(void *context, int rank) {
    int *told = context;
    told[0]++;
    told[1] = rank;
}

/* A loss that follows another is not the first cause, even if it was noticed earlier. */
static void test_who_follows_is_not_the_first(void **state) {
    (void)state;
    int told[2] = {0, -1}, late[2] = {0, -1};
    sgp_fates_t *fates = make(5);
    sgp_fates_on_loss(fates, tell, told);
    sgp_fates_set(fates, 3, sgp_fate_followed(1), NULL);
    assert_int_equal(sgp_fates_first_lost(fates), 3);
    sgp_fates_set(fates, 1, sgp_fate_lost(SGP_CAUSE_ENDED), NULL);
    assert_int_equal(sgp_fates_first_lost(fates), 1);
    assert_int_equal(told[1], 1);
    sgp_fates_set(fates, 0, sgp_fate_lost(SGP_CAUSE_ENDED), NULL);
    sgp_fates_set(fates, 4, sgp_fate_followed(1), NULL);
    assert_int_equal(sgp_fates_first_lost(fates), 1);
    assert_int_equal(sgp_fates_of(fates, 4).of, 1);
    assert_int_equal(told[0], 2);
    sgp_fates_on_loss(fates, tell, late);
    assert_int_equal(late[1], 1);
    sgp_fates_destroy(fates);
}

/* Packing and unpacking keeps every rank and first cause; other words are rejected. */
static void test_words(void **state) {
    (void)state;
    int rank;
    sgp_cause_t cause;
    const int ranks[] = {0, 1, 255, 256, SGP_MOST_PROCESSES - 1};
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
        for (int c = SGP_CAUSE_NONE + 1; c < SGP_CAUSE_FOLLOWED; c++) {
            uint32_t word = sgp_loss_pack(ranks[i], (sgp_cause_t)c);
            assert_true(sgp_loss_unpack(word, SGP_MOST_PROCESSES, &rank, &cause));
            assert_int_equal(rank, ranks[i]);
            assert_int_equal(cause, c);
        }
    assert_false(sgp_loss_unpack(0, 8, &rank, &cause));
    assert_false(sgp_loss_unpack(5, 8, &rank, &cause));
    assert_false(sgp_loss_unpack(sgp_loss_pack(8, SGP_CAUSE_ENDED), 8, &rank, &cause));
    assert_false(sgp_loss_unpack(sgp_loss_pack(1, SGP_CAUSE_FOLLOWED), 8, &rank, &cause));
    assert_false(sgp_loss_unpack(UINT32_MAX, SGP_MOST_PROCESSES, &rank, &cause));
}

/* ---- events ---- */

/* Takes the next event: rank, state and silence; -1: there is none. */
static int take(sgp_fates_t *fates, uint32_t *seen, sgp_fate_event_t *event) {
    return sgp_fates_next_event(fates, seen, event) ? event->rank : -1;
}

static void test_events_come_in_order(void **state) {
    (void)state;
    sgp_fates_t *fates = make(4);
    uint32_t seen[4] = {0}, other[4] = {0};
    sgp_fate_event_t event;
    assert_int_equal(take(fates, seen, &event), -1);
    sgp_fates_set(fates, 3, sgp_fate_left(), NULL);
    assert_true(sgp_fates_set_silent(fates, 1, SGP_SILENCE_UNHEARD, true));
    assert_false(sgp_fates_set_silent(fates, 1, SGP_SILENCE_UNHEARD, true));
    assert_false(sgp_fates_set_silent(fates, 3, SGP_SILENCE_UNHEARD, true)); /* it is gone */
    sgp_fates_set(fates, 0, sgp_fate_lost(SGP_CAUSE_ENDED), "killed");
    assert_int_equal(sgp_fates_events(fates), 3);
    assert_int_equal(take(fates, seen, &event), 3);
    assert_int_equal(event.fate.state, SGP_FATE_LEFT);
    assert_int_equal(take(fates, seen, &event), 1);
    assert_true(event.fate.state == SGP_FATE_PRESENT && event.silent);
    assert_int_equal(take(fates, seen, &event), 0);
    assert_int_equal(event.fate.cause, SGP_CAUSE_ENDED);
    assert_string_equal(event.why, "killed");
    assert_int_equal(take(fates, seen, &event), -1);
    assert_int_equal(take(fates, other, &event), 3); /* each reader sees them */
    sgp_fates_destroy(fates);
}

/* A rank that flickers has one event, its latest; a loss is the last one. */
static void test_a_later_event_replaces_an_earlier_one(void **state) {
    (void)state;
    sgp_fates_t *fates = make(3);
    uint32_t seen[3] = {0};
    sgp_fate_event_t event;
    for (int i = 0; i < 1001; i++) sgp_fates_set_silent(fates, 1, SGP_SILENCE_UNHEARD, i % 2 == 0);
    sgp_fates_set_silent(fates, 0, SGP_SILENCE_UNHEARD, true);
    assert_int_equal(take(fates, seen, &event), 1);
    assert_true(event.silent);
    assert_true(sgp_fates_set_silent(fates, 1, SGP_SILENCE_UNHEARD, false));
    assert_true(sgp_fates_set_silent(fates, 1, SGP_SILENCE_UNHEARD, true));
    sgp_fates_set(fates, 1, sgp_fate_lost(SGP_CAUSE_SILENT), NULL);
    assert_false(sgp_fates_set_silent(fates, 1, SGP_SILENCE_UNHEARD, false));
    assert_int_equal(take(fates, seen, &event), 0);
    assert_int_equal(take(fates, seen, &event), 1);
    assert_int_equal(event.fate.state, SGP_FATE_LOST);
    assert_string_equal(event.why, "it has been silent for too long");
    assert_int_equal(take(fates, seen, &event), -1);
    sgp_fates_destroy(fates);
}

/* ---- seats ---- */

/* A seat is opened again and again; each time only for a later incarnation, and the table keeps one place for it. */
static void test_a_seat_opens_for_newcomers(void **state) {
    (void)state;
    sgp_fates_t *fates = NULL;
    uint32_t seen[4] = {0};
    sgp_fate_event_t event;
    char why[64];
    assert_int_equal(sgp_fates_create(4, 2, &fates), SGP_OK);
    assert_int_equal(sgp_fates_of(fates, 3).state, SGP_FATE_ABSENT);
    assert_false(sgp_fates_set(fates, 3, sgp_fate_left(), NULL)); /* nobody is there */
    assert_false(sgp_fates_set_silent(fates, 3, SGP_SILENCE_UNHEARD, true));
    assert_false(sgp_fates_open(fates, 1, 1)); /* it has a member */
    assert_true(sgp_fates_open(fates, 3, 0));
    assert_false(sgp_fates_open(fates, 3, 1));
    assert_int_equal(take(fates, seen, &event), 3);
    assert_true(event.opened && !event.silent && event.fate.state == SGP_FATE_PRESENT);
    for (uint32_t incarnation = 1; incarnation < 1000; incarnation++) {
        assert_true(sgp_fates_set(fates, 3, sgp_fate_lost(SGP_CAUSE_ENDED), "killed"));
        assert_int_equal(sgp_fates_changed(fates, incarnation - 1), 3);
        assert_int_equal(sgp_fates_first_lost(fates), 3);
        assert_false(sgp_fates_open(fates, 3, incarnation - 1));
        assert_true(sgp_fates_open(fates, 3, incarnation));
        assert_int_equal(sgp_fates_incarnation(fates, 3), incarnation);
        assert_int_equal(sgp_fates_changes(fates), incarnation);
        assert_int_equal(sgp_fates_changed(fates, incarnation - 1), -1);
        assert_int_equal(sgp_fates_first_lost(fates), -1);
        assert_string_equal(sgp_fates_why(fates, 3, why, sizeof why), "");
    }
    assert_int_equal(take(fates, seen, &event), 3); /* the latest event alone */
    assert_true(event.opened && event.incarnation == 999);
    assert_int_equal(take(fates, seen, &event), -1);
    sgp_fates_destroy(fates);
}

/* Of several losses the first one is named that is left when seats open again. */
static void test_the_first_loss_that_is_left(void **state) {
    (void)state;
    sgp_fates_t *fates = make(4);
    sgp_fates_set(fates, 2, sgp_fate_lost(SGP_CAUSE_ENDED), NULL);
    sgp_fates_set(fates, 0, sgp_fate_followed(2), NULL);
    sgp_fates_set(fates, 3, sgp_fate_lost(SGP_CAUSE_ENDED), NULL);
    sgp_fates_set(fates, 1, sgp_fate_lost(SGP_CAUSE_ENDED), NULL);
    assert_true(sgp_fates_open(fates, 2, 1));
    assert_int_equal(sgp_fates_first_lost(fates), 3);
    assert_true(sgp_fates_open(fates, 1, 1));
    assert_int_equal(sgp_fates_first_lost(fates), 3);
    assert_true(sgp_fates_open(fates, 3, 1));
    assert_int_equal(sgp_fates_first_lost(fates), 0);
    sgp_fates_destroy(fates);
}

/* A newcomer's table begins with what it was told, without events. */
static void test_a_newcomers_table(void **state) {
    (void)state;
    sgp_fates_t *fates = NULL;
    uint32_t seen[3] = {0};
    sgp_fate_event_t event;
    assert_int_equal(sgp_fates_create(3, 0, &fates), SGP_OK);
    sgp_fates_seat(fates, 0, 4, SGP_FATE_PRESENT);
    sgp_fates_seat(fates, 1, 2, SGP_FATE_LEFT);
    assert_int_equal(take(fates, seen, &event), -1);
    assert_int_equal(sgp_fates_incarnation(fates, 0), 4);
    assert_int_equal(sgp_fates_of(fates, 2).state, SGP_FATE_ABSENT);
    assert_int_equal(sgp_fates_changes(fates), 0);
    assert_false(sgp_fates_open(fates, 1, 2));
    assert_true(sgp_fates_open(fates, 1, 3));
    assert_true(sgp_fates_open(fates, 2, 0));
    sgp_fates_destroy(fates);
}

/* A member that left or was lost later is not one that was found gone; nor is one whose seat has a new member. */
static void test_members_that_are_found_gone(void **state) {
    (void)state;
    sgp_fates_t *fates = make(3);
    assert_false(sgp_fates_found_gone(fates, 0));
    sgp_fates_seat(fates, 0, 0, SGP_FATE_LEFT);
    sgp_fates_seat(fates, 1, 0, SGP_FATE_PRESENT);
    sgp_fates_seat(fates, 2, 0, SGP_FATE_ABSENT);
    sgp_fates_set(fates, 1, sgp_fate_left(), NULL);
    assert_true(sgp_fates_found_gone(fates, 0));
    assert_false(sgp_fates_found_gone(fates, 1));
    assert_false(sgp_fates_found_gone(fates, 2));
    assert_true(sgp_fates_open(fates, 0, 1));
    assert_false(sgp_fates_found_gone(fates, 0));
    sgp_fates_set(fates, 0, sgp_fate_left(), NULL);
    assert_false(sgp_fates_found_gone(fates, 0));
    sgp_fates_destroy(fates);
}

/* The longest jump is told once, and is an event of no rank; an absence of which only others know is none. */
static void test_jumps(void **state) {
    (void)state;
    uint32_t seen[2] = {0};
    sgp_fate_event_t event;
    sgp_fates_t *fates = make(2);
    sgp_fates_note_absence(fates, 0);
    assert_int_equal(sgp_fates_events(fates), 0);
    assert_int_equal(sgp_fates_take_jump(fates), 0);
    sgp_fates_note_absence(fates, 700);
    sgp_fates_note_absence(fates, 900);
    sgp_fates_note_absence(fates, 800);
    assert_int_equal(sgp_fates_absences(fates), 4);
    assert_int_equal(sgp_fates_events(fates), 3);
    assert_false(sgp_fates_next_event(fates, seen, &event));
    assert_int_equal(sgp_fates_take_jump(fates), 900);
    assert_int_equal(sgp_fates_take_jump(fates), 0);
    sgp_fates_destroy(fates);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fate_changes_once),
        cmocka_unit_test(test_who_follows_is_not_the_first),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_events_come_in_order),
        cmocka_unit_test(test_a_later_event_replaces_an_earlier_one),
        cmocka_unit_test(test_a_seat_opens_for_newcomers),
        cmocka_unit_test(test_the_first_loss_that_is_left),
        cmocka_unit_test(test_a_newcomers_table),
        cmocka_unit_test(test_members_that_are_found_gone),
        cmocka_unit_test(test_jumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
