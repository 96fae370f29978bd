/* SPDX-License-Identifier: Apache-2.0 */
/* Which rank of loopback hears which: stalls and cuts, and what the ranks' fates say of them, in virtual time. */
#include <stdbool.h>

#include "ranks.h"

#define MS ((uint64_t)1000000)

enum { RANKS = 3, MOST = 16 };

/* One observation: at that time that rank is silent for this one, for these reasons; state: of its fate. */
typedef struct change {
    uint64_t ms;
    unsigned reasons;
    sgp_fate_state_t state;
} change_t;

typedef struct diary {
    change_t of[RANKS][RANKS][MOST]; /* [observer][observed] */
    int count[RANKS][RANKS];
    uint64_t absent[RANKS][MOST]; /* ms at which each rank learnt of an absence of its own */
    int absences[RANKS];
    uint64_t longest[RANKS][RANKS]; /* sgp_transport_silence, ms */
    uint64_t end;                   /* ms */
    bool confirms;
    int gives_up_at; /* ms: rank 0 gives up rank 1; 0: never */
} diary_t;

static void note_changes(sgp_transport_t *transport, diary_t *diary) {
    int self = transport->rank;
    uint64_t now = sgp_transport_now(transport) / MS;
    for (int r = 0; r < transport->size; r++) {
        int *count = &diary->count[self][r];
        change_t *list = diary->of[self][r];
        change_t last = *count ? list[*count - 1] : (change_t){0, 0, SGP_FATE_PRESENT};
        unsigned reasons = sgp_fates_silence(transport->fates, r);
        sgp_fate_state_t state = sgp_fates_of(transport->fates, r).state;
        uint64_t silence = sgp_transport_silence(transport, r) / MS;
        if (silence > diary->longest[self][r]) diary->longest[self][r] = silence;
        if (reasons == last.reasons && state == last.state) continue;
        CHECK(*count < MOST);
        list[(*count)++] = (change_t){now, reasons, state};
    }
    uint32_t absences = sgp_fates_absences(transport->fates);
    for (int *count = &diary->absences[self]; *count < (int)absences; (*count)++)
        diary->absent[self][*count] = now;
}

/* Looks at the fates each time a wait ends: with each event, and in each step of 100 ms. */
static void watch(sgp_transport_t *transport, void *context) {
    diary_t *diary = context;
    transport->elastic = true;
    transport->confirms = diary->confirms;
    for (uint64_t now = 0; now < diary->end * MS; now = sgp_transport_now(transport)) {
        uint64_t next = now + 100 * MS;
        sgp_transport_wait(transport, next < diary->end * MS ? next : diary->end * MS);
        if (diary->gives_up_at && transport->rank == 0 && now >= (uint64_t)diary->gives_up_at * MS)
            sgp_transport_give_up(transport, 1, sgp_fate_lost(SGP_CAUSE_SILENT), "others say so");
        note_changes(transport, diary);
    }
    sgp_transport_leave(transport, UINT64_MAX);
    sgp_transport_destroy(transport);
}

static void run(const sgp_loopback_fault_t *faults, int count, uint64_t dead_ms, diary_t *diary) {
    ranks_setup_t setup = {.loopback = {.size = RANKS,
                                        .chunk_bytes = 1024,
                                        .virtual_time = true,
                                        .faults = faults,
                                        .fault_count = count,
                                        .dead_ns = dead_ms * MS}};
    run_transports(&setup, watch, diary);
}

static void check_change(const diary_t *diary, int self, int rank, int n, uint64_t ms,
                         unsigned reasons) {
    assert_true(n < diary->count[self][rank]);
    assert_int_equal(diary->of[self][rank][n].ms, ms);
    assert_int_equal(diary->of[self][rank][n].reasons, reasons);
}

static void check_none(const diary_t *diary, int self, int rank) {
    if (diary->count[self][rank]) /* the end of the other is a change too */
        assert_int_equal(diary->of[self][rank][0].state, SGP_FATE_LEFT);
}

#define STALL(who, from, length)                                                                   \
    { .kind = SGP_FAULT_STALL, .seat = (who), .from_ns = (from)*MS, .length_ns = (length)*MS }
#define CUT(how, a, b, from, length)                                                               \
    { .kind = (how), .seat = (a), .other = (b), .from_ns = (from)*MS, .length_ns = (length)*MS }

/* A rank that stands still is silent for all others after 500 ms, and trusted as soon as it runs. It learns of that from
 * its own timer, and accuses nobody. */
static void test_a_stall(void **state) {
    (void)state;
    diary_t diary = {.end = 4000};
    sgp_loopback_fault_t fault = STALL(1, 1000, 2000);
    run(&fault, 1, 0, &diary);
    for (int r = 0; r < RANKS; r += 2) {
        check_change(&diary, r, 1, 0, 1500, SGP_SILENCE_UNHEARD);
        check_change(&diary, r, 1, 1, 3000, 0);
        assert_int_equal(diary.absences[r], 0);
        assert_in_range(diary.longest[r][1], 1900, 2000);
        check_none(&diary, 1, r);
        check_none(&diary, r, 2 - r);
    }
    assert_true(diary.absences[1] > 0);
    assert_int_equal(diary.absent[1][0], 3000);
}

static void test_a_short_stall(void **state) {
    (void)state;
    diary_t diary = {.end = 3000};
    sgp_loopback_fault_t fault = STALL(1, 1000, 499);
    run(&fault, 1, 0, &diary);
    for (int r = 0; r < RANKS; r++) {
        for (int other = 0; other < RANKS; other++) check_none(&diary, r, other);
        assert_int_equal(diary.absences[r], 0);
    }
}

/* A link that is cut in one direction: the side that hears nothing calls the other silent, and tells it so; then both are
 * silent to each other, and nobody else is. */
static void test_a_cut_one_way(void **state) {
    (void)state;
    diary_t diary = {.end = 4000};
    sgp_loopback_fault_t fault = CUT(SGP_FAULT_CUT, 0, 1, 1000, 1500); /* 1 does not hear 0 */
    run(&fault, 1, 0, &diary);
    check_change(&diary, 1, 0, 0, 1500, SGP_SILENCE_UNHEARD);
    check_change(&diary, 1, 0, 1, 2500, 0);
    check_change(&diary, 0, 1, 0, 1500, SGP_SILENCE_TOLD);
    check_change(&diary, 0, 1, 1, 2500, 0);
    assert_int_equal(diary.absences[0], 1);
    assert_int_equal(diary.absent[0][0], 1500);
    assert_int_equal(diary.absences[1], 0);
    for (int r = 0; r < 2; r++) {
        check_none(&diary, r, 2);
        check_none(&diary, 2, r);
    }
}

/* In both directions: neither can tell the other before the link is there again. */
static void test_a_cut_both_ways(void **state) {
    (void)state;
    diary_t diary = {.end = 4000};
    sgp_loopback_fault_t faults[] = {CUT(SGP_FAULT_CUT_BOTH, 0, 1, 1000, 500),
                                     CUT(SGP_FAULT_CUT_BOTH, 1, 0, 1200, 1000)};
    run(faults, 2, 0, &diary); /* they overlap */
    for (int r = 0; r < 2; r++) {
        check_change(&diary, r, 1 - r, 0, 1500, SGP_SILENCE_UNHEARD);
        check_change(&diary, r, 1 - r, 1, 2200, 0);
        assert_int_equal(diary.absences[r], 1);
        assert_int_equal(diary.absent[r][0], 2200);
    }
    assert_int_equal(diary.absences[2], 0);
}

/* A rank that stands still while another does: it counts anew when it runs again. */
static void test_a_listener_that_stalls(void **state) {
    (void)state;
    diary_t diary = {.end = 5000};
    sgp_loopback_fault_t faults[] = {STALL(1, 1000, 3000), STALL(0, 1100, 900)};
    run(faults, 2, 0, &diary);
    check_change(&diary, 2, 1, 0, 1500, SGP_SILENCE_UNHEARD);
    check_change(&diary, 2, 0, 0, 1600, SGP_SILENCE_UNHEARD);
    check_change(&diary, 2, 0, 1, 2000, 0);
    check_change(&diary, 0, 1, 0, 2500, SGP_SILENCE_UNHEARD);
    check_change(&diary, 0, 1, 1, 4000, 0);
}

/* A link that is cut for good: each gives the other up after dead_ns, alone. Where the owner confirms, it does not. */
static void test_the_end_of_a_silence(void **state) {
    (void)state;
    sgp_loopback_fault_t fault = {.kind = SGP_FAULT_CUT_BOTH,
                                  .seat = 0,
                                  .other = 1,
                                  .from_ns = 1000 * MS,
                                  .length_ns = SGP_FOR_GOOD};
    diary_t diary = {.end = 5000}, confirms = {.end = 5000, .confirms = true};
    run(&fault, 1, 3000, &diary);
    run(&fault, 1, 3000, &confirms);
    for (int r = 0; r < 2; r++) {
        check_change(&diary, r, 1 - r, 0, 1500, SGP_SILENCE_UNHEARD);
        check_change(&diary, r, 1 - r, 1, 4000, 0);
        assert_int_equal(diary.of[r][1 - r][1].state, SGP_FATE_LOST);
        check_none(&diary, 2, r);
        assert_true(confirms.count[r][1 - r] == 1 ||
                    confirms.of[r][1 - r][1].state == SGP_FATE_LEFT);
    }
}

/* What the owner says holds for it alone. */
static void test_a_rank_is_given_up(void **state) {
    (void)state;
    diary_t diary = {.end = 3000, .confirms = true, .gives_up_at = 2000};
    sgp_loopback_fault_t fault = STALL(2, 100, 1);
    run(&fault, 1, 0, &diary);
    assert_int_equal(diary.of[0][1][0].state, SGP_FATE_LOST);
    check_none(&diary, 1, 0);
    check_none(&diary, 2, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stall),
        cmocka_unit_test(test_a_short_stall),
        cmocka_unit_test(test_a_cut_one_way),
        cmocka_unit_test(test_a_cut_both_ways),
        cmocka_unit_test(test_a_listener_that_stalls),
        cmocka_unit_test(test_the_end_of_a_silence),
        cmocka_unit_test(test_a_rank_is_given_up),
    };
    return cmocka_run_group_tests_name("hearing", tests, NULL, NULL);
}
