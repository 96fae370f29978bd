/* SPDX-License-Identifier: Apache-2.0 */
/* Views: merging does not depend on order or repetition and does what the rules say, digests tell
 * views apart, and events report what has changed. */
#include "notices.h"

#include <xxhash.h>

static void test_founders_alone(void **state) {
    (void)state;
    sgp_view_t *view = new_view(8, 3);
    sgp_view_event_t event;
    sgp_view_member_t member;
    uint32_t newest;
    assert_true(sgp_view_digest(view) == 0 && sgp_view_version(view) == 0);
    assert_int_equal(sgp_view_capacity(view), 8);
    assert_int_equal(sgp_view_founders(view), 3);
    assert_int_equal(sgp_view_seats(view), 3);
    assert_false(sgp_view_next_event(view, &event));
    assert_false(sgp_view_newest(view, 3, &newest));
    assert_true(sgp_view_newest(view, 2, &newest));
    assert_int_equal(newest, 0);
    assert_false(sgp_view_member(view, 2, 1, &member));
    assert_true(sgp_view_member(view, 2, 0, &member));
    assert_true(member.from == 0 && member.until == SGP_VIEW_NEVER && !member.end);
    sgp_view_destroy(view);
    sgp_view_destroy(NULL);
}

static void test_bad_sizes(void **state) {
    (void)state;
    static const int sizes[][2] = {{0, 0}, {-1, 1}, {65537, 1}, {4, 0}, {4, 5}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sgp_view_t *view = NULL;
        assert_int_equal(sgp_view_create(sizes[i][0], sizes[i][1], &view), SGP_ERR_INVALID);
        assert_null(view);
    }
}

/* ---- merging ---- */

/* The next order of count numbers, in lexicographic order; false: it was the last. */
static bool next_order(int *order, int count) {
    int fall = count - 1, right = count - 1;
    while (fall > 0 && order[fall - 1] > order[fall]) fall--;
    if (fall == 0) return false;
    while (order[right] < order[fall - 1]) right--;
    int kept = order[fall - 1];
    order[fall - 1] = order[right];
    order[right] = kept;
    for (right = count - 1; fall < right; fall++, right--) {
        kept = order[fall];
        order[fall] = order[right];
        order[right] = kept;
    }
    return true;
}

static void test_all_orders(void **state) {
    (void)state;
    enum { COUNT = 5, SETS = 60 };
    for (uint64_t seed = 0; seed < SETS; seed++) {
        sgp_member_notice_t notices[COUNT], shuffled[COUNT];
        sgp_random_t random;
        int order[COUNT] = {0, 1, 2, 3, 4};
        sgp_random_init(&random, seed, 0);
        random_notices(&random, notices, COUNT);
        if (seed % 2) /* all about one member: every rule of merging at once */
            for (int i = 0; i < COUNT; i++) notices[i].seat = 4, notices[i].incarnation = 2;
        sgp_view_t *view = merged_view(notices, COUNT);
        do {
            for (int i = 0; i < COUNT; i++) shuffled[i] = notices[order[i]];
            sgp_view_t *other = merged_view(shuffled, COUNT);
            assert_same_view(view, other);
            sgp_view_destroy(other);
        } while (next_order(order, COUNT));
        sgp_view_destroy(view);
    }
}

/* Nothing is news twice. */
static void test_idempotent(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 1, 0);
    for (int round = 0; round < 200; round++) {
        sgp_member_notice_t notices[MOST_NOTICES];
        int count = (int)sgp_random_below(&random, MOST_NOTICES);
        random_notices(&random, notices, count);
        sgp_view_t *view = merged_view(notices, count), *twice = merged_view(notices, count);
        uint64_t version = sgp_view_version(twice);
        for (int i = 0; i < count; i++) assert_false(sgp_view_merge(twice, &notices[i]));
        assert_true(sgp_view_version(twice) == version);
        assert_same_view(view, twice);
        sgp_view_destroy(view);
        sgp_view_destroy(twice);
    }
}

static void pass_on(const sgp_view_t *from, sgp_view_t *to) {
    static unsigned char bytes[SGP_VIEW_MOST_BYTES];
    const char *reason = NULL;
    bool news;
    unsigned flags;
    uint64_t before = sgp_view_digest(to);
    size_t size = bytes_of(from, bytes);
    assert_int_equal(sgp_view_decode(to, bytes, size, &flags, &news, &reason), SGP_OK);
    assert_true(news == (sgp_view_digest(to) != before));
}

/* Notices that went through other views, which have merged and forgotten, give the same view. */
static void test_associative(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 2, 0);
    for (int round = 0; round < 300; round++) {
        sgp_member_notice_t notices[30];
        random_notices(&random, notices, 30);
        sgp_view_t *all = merged_view(notices, 30), *thirds[3], *joined = new_view(SEATS, FOUNDERS);
        for (int i = 0; i < 3; i++) thirds[i] = merged_view(notices + 10 * (ptrdiff_t)i, 10);
        pass_on(thirds[1], thirds[2]);
        pass_on(thirds[2], joined);
        pass_on(thirds[0], joined);
        assert_same_view(all, joined);
        sgp_view_destroy(all);
        sgp_view_destroy(joined);
        for (int i = 0; i < 3; i++) sgp_view_destroy(thirds[i]);
    }
}

static void assert_by_rules(const sgp_view_t *view, const sgp_member_notice_t *notices, int count) {
    for (int seat = 0; seat < SEATS; seat++) {
        uint32_t newest, found;
        bool used = newest_in(notices, count, seat, &newest);
        assert_int_equal(sgp_view_newest(view, seat, &found), used);
        if (used) assert_int_equal(found, newest);
        for (uint32_t incarnation = 0; incarnation < USES; incarnation++) {
            sgp_view_member_t is, should;
            bool kept = kept_in(notices, count, seat, incarnation, &should);
            assert_int_equal(sgp_view_member(view, seat, incarnation, &is), kept);
            if (!kept) continue;
            assert_true(same_member(&is, &should));
            assert_int_equal(is.certain, should.certain);
        }
    }
}

/* The XOR of the hashes of the merged notices, each as a notice. */
static uint64_t digest_by_rules(const sgp_member_notice_t *notices, int count) {
    uint64_t digest = 0;
    for (int seat = 0; seat < SEATS; seat++) {
        for (uint32_t incarnation = 0; incarnation < USES; incarnation++) {
            sgp_view_member_t member;
            if (!kept_in(notices, count, seat, incarnation, &member)) continue;
            sgp_member_notice_t join = join_of(seat, incarnation, member.from, member.candidate);
            sgp_member_notice_t end =
                end_of(member.end, seat, incarnation, member.until, member.last);
            if (member.candidate) digest ^= sgp_member_notice_hash(&join);
            if (member.end) digest ^= sgp_member_notice_hash(&end);
        }
    }
    return digest;
}

static void test_rules(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 3, 0);
    for (int round = 0; round < 500; round++) {
        sgp_member_notice_t notices[MOST_NOTICES];
        int count = (int)sgp_random_below(&random, MOST_NOTICES);
        random_notices(&random, notices, count);
        sgp_view_t *view = merged_view(notices, count);
        assert_by_rules(view, notices, count);
        assert_true(sgp_view_digest(view) == digest_by_rules(notices, count));
        sgp_view_destroy(view);
    }
}

/* ---- the digest ---- */

static bool same_merged(const sgp_member_notice_t *a, int count_a, const sgp_member_notice_t *b,
                        int count_b) {
    for (int seat = 0; seat < SEATS; seat++) {
        for (uint32_t incarnation = 0; incarnation < USES; incarnation++) {
            sgp_view_member_t of_a = {0}, of_b = {0};
            bool in_a = kept_in(a, count_a, seat, incarnation, &of_a);
            if (in_a != kept_in(b, count_b, seat, incarnation, &of_b)) return false;
            if (in_a && !same_member(&of_a, &of_b)) return false;
        }
    }
    return true;
}

/* Sets of few notices about one seat that differ in one notice: many are merged to the same. */
static void test_digest_tells_views_apart(void **state) {
    (void)state;
    enum { ROUNDS = 20000 };
    sgp_random_t random;
    int equal = 0;
    sgp_random_init(&random, 4, 0);
    for (int round = 0; round < ROUNDS; round++) {
        sgp_member_notice_t notices[2][4];
        sgp_view_t *views[2];
        random_notices(&random, notices[0], 4);
        memcpy(notices[1], notices[0], sizeof notices[1]);
        random_notices(&random, notices[1], 1);
        for (int i = 0; i < 2; i++) {
            for (int j = 0; j < 4; j++) notices[i][j].seat = 3, notices[i][j].incarnation %= 2;
            views[i] = merged_view(notices[i], 4);
        }
        bool same = same_merged(notices[0], 4, notices[1], 4);
        assert_int_equal(sgp_view_digest(views[0]) == sgp_view_digest(views[1]), same);
        equal += same;
        sgp_view_destroy(views[0]);
        sgp_view_destroy(views[1]);
    }
    assert_in_range(equal, ROUNDS / 10, ROUNDS / 2); /* both cases occur */
}

static uint64_t digest_after(sgp_member_notice_t notice) {
    sgp_view_t *view = new_view(16, 3);
    sgp_view_merge(view, &notice);
    uint64_t digest = sgp_view_digest(view);
    sgp_view_destroy(view);
    return digest;
}

static void test_digest_covers(void **state) {
    (void)state;
    sgp_member_notice_t join = join_of(5, 1, 32, 77), other = join, same;
    uint64_t digest = digest_after(join);
    assert_true(digest != 0);
    other.seat = 6;
    assert_true(digest_after(other) != digest);
    other = join, other.incarnation = 2;
    assert_true(digest_after(other) != digest);
    other = join, other.step = 48;
    assert_true(digest_after(other) != digest);
    other = join, other.candidate = 78;
    assert_true(digest_after(other) != digest);
    same = join, same.origin = 4, same.card = (const unsigned char *)"card", same.card_bytes = 4;
    assert_true(digest_after(same) == digest);

    sgp_member_notice_t dead = end_of(SGP_MEMBER_DEAD, 2, 0, 32, 16);
    digest = digest_after(dead);
    other = dead, other.last = 17;
    assert_true(digest_after(other) != digest);
    other = dead, other.kind = SGP_MEMBER_LEFT;
    assert_true(digest_after(other) != digest);
    same = dead, same.flags = SGP_MEMBER_CERTAIN;
    assert_true(digest_after(same) == digest);
}

/* The hash is that of 31 bytes in the order of the protocol: other programs compute it too. */
static void test_hash_is_stable(void **state) {
    (void)state;
    sgp_member_notice_t notice =
        join_of(0x0201, 0x06050403, 0x0e0d0c0b0a090807, 0x1e1d1c1b1a191817);
    unsigned char bytes[31] = {SGP_MEMBER_JOIN};
    for (int i = 1; i < 31; i++) bytes[i] = (unsigned char)i;
    notice.last = 0x161514131211100f;
    assert_true(sgp_member_notice_hash(&notice) == XXH3_64bits(bytes, sizeof bytes));
}

/* ---- bounded ---- */

/* A seat that is used ever again takes no more room, and a late notice about an old use is no
 * news. */
static void test_many_uses(void **state) {
    (void)state;
    static unsigned char bytes[SGP_VIEW_MOST_BYTES];
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    for (uint32_t use = 0; use < 1000; use++) {
        sgp_member_notice_t join = join_of(4, use, 16 * (use + 1), 1 + use);
        sgp_member_notice_t left = end_of(SGP_MEMBER_LEFT, 4, use, 16 * (use + 2), 16 * use);
        assert_true(sgp_view_merge(view, &join));
        assert_true(sgp_view_merge(view, &left));
    }
    size_t notices = 2 * SGP_VIEW_INCARNATIONS;
    assert_int_equal(bytes_of(view, bytes), SGP_VIEW_HEAD + notices * SGP_MEMBER_NOTICE_BYTES);
    sgp_member_notice_t late = end_of(SGP_MEMBER_DEAD, 4, 1000 - SGP_VIEW_INCARNATIONS - 1, 16, 0);
    assert_false(sgp_view_merge(view, &late));
    late.incarnation++;
    assert_true(sgp_view_merge(view, &late));
    sgp_view_destroy(view);
}

/* The last incarnation that 32 bits can count, and the last seat of the largest group. */
static void test_extremes(void **state) {
    (void)state;
    sgp_view_t *view = new_view(65536, 2);
    sgp_view_member_t member;
    sgp_member_notice_t join = join_of(65535, UINT32_MAX, SGP_MEMBER_STEPS - 16, UINT64_MAX);
    sgp_member_notice_t old = join_of(65535, UINT32_MAX - 3, 16, 1);
    sgp_member_notice_t older = join_of(65535, UINT32_MAX - 4, 16, 1);
    join.origin = 65535;
    assert_null(sgp_view_check(view, &join));
    assert_true(sgp_view_merge(view, &older));
    assert_true(sgp_view_merge(view, &join));
    assert_true(sgp_view_merge(view, &old));
    assert_false(sgp_view_merge(view, &older));
    assert_false(sgp_view_member(view, 65535, UINT32_MAX - 4, &member));
    assert_true(sgp_view_member(view, 65535, UINT32_MAX, &member));
    assert_true(member.candidate == UINT64_MAX);
    assert_int_equal(sgp_view_seats(view), 65536);
    sgp_view_destroy(view);
}

/* The newest incarnation has its card; an older one's is forgotten, and does not come back. */
static void test_cards(void **state) {
    (void)state;
    static unsigned char card[SGP_MEMBER_CARD_BYTES];
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    sgp_view_member_t member;
    sgp_member_notice_t first = join_of(3, 0, 32, 9), second = join_of(3, 1, 48, 8);
    memset(card, 'x', sizeof card);
    first.card = card, first.card_bytes = sizeof card;
    sgp_view_merge(view, &first);
    assert_true(sgp_view_member(view, 3, 0, &member));
    assert_int_equal(member.card_bytes, sizeof card);
    assert_ptr_not_equal(member.card, card);
    assert_memory_equal(member.card, card, sizeof card);
    sgp_view_merge(view, &second);
    sgp_view_merge(view, &first);
    assert_true(sgp_view_member(view, 3, 0, &member));
    assert_int_equal(member.card_bytes, 0);
    assert_true(sgp_view_member(view, 3, 1, &member));
    assert_int_equal(member.card_bytes, 0);
    sgp_member_notice_t third = end_of(SGP_MEMBER_DEAD, 3, 2, 64, 0); /* its JOIN is not here yet */
    second.card = card, second.card_bytes = 3;
    assert_false(sgp_view_merge(view, &second)); /* no news, but kept */
    assert_true(sgp_view_member(view, 3, 1, &member));
    assert_int_equal(member.card_bytes, 3);
    sgp_view_merge(view, &third);
    assert_true(sgp_view_member(view, 3, 2, &member));
    assert_int_equal(member.card_bytes, 0);
    sgp_view_destroy(view);
}

/* ---- what a member reads of itself ---- */

static void test_claims(void **state) {
    (void)state;
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    sgp_member_notice_t dead = end_of(SGP_MEMBER_DEAD, 1, 0, 32, 3), again = join_of(1, 1, 48, 7);
    sgp_member_notice_t rival = join_of(3, 0, 48, 7);
    assert_int_equal(sgp_view_claim(view, 1, 0, 0), SGP_CLAIM_HOLDS);
    assert_int_equal(sgp_view_claim(view, 3, 0, 9), SGP_CLAIM_HOLDS); /* its JOIN is not here yet */
    sgp_view_merge(view, &dead);
    assert_int_equal(sgp_view_claim(view, 1, 0, 0), SGP_CLAIM_STRUCK_OFF);
    assert_int_equal(sgp_view_claim(view, 1, 1, 7), SGP_CLAIM_HOLDS);
    assert_int_equal(sgp_view_claim(view, 2, 0, 0), SGP_CLAIM_HOLDS);
    sgp_view_merge(view, &again);
    assert_int_equal(sgp_view_claim(view, 1, 0, 0), SGP_CLAIM_REPLACED);
    assert_int_equal(sgp_view_claim(view, 1, 1, 7), SGP_CLAIM_HOLDS);
    sgp_view_merge(view, &rival);
    assert_int_equal(sgp_view_claim(view, 3, 0, 9), SGP_CLAIM_REPLACED);
    assert_int_equal(sgp_view_claim(view, 3, 0, 7), SGP_CLAIM_HOLDS);
    sgp_view_destroy(view);
}

static void test_founders_do_not_join(void **state) {
    (void)state;
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    sgp_member_notice_t founder = join_of(2, 0, 16, 1), again = join_of(2, 1, 16, 1);
    sgp_member_notice_t first_use = join_of(3, 0, 16, 1),
                        dead = end_of(SGP_MEMBER_DEAD, 2, 0, 16, 0);
    assert_non_null(sgp_view_check(view, &founder));
    assert_null(sgp_view_check(view, &again));
    assert_null(sgp_view_check(view, &first_use));
    assert_null(sgp_view_check(view, &dead));
    sgp_view_destroy(view);
}

/* ---- events ---- */

typedef struct told {
    bool joined, ended;
    sgp_view_event_t join, end;
} told_t;

static void take_events(sgp_view_t *view, told_t told[SEATS][USES]) {
    sgp_view_event_t event;
    while (sgp_view_next_event(view, &event)) {
        told_t *of = &told[event.seat][event.incarnation];
        if (event.kind == SGP_VIEW_JOINED || event.kind == SGP_VIEW_REPLACED) {
            assert_int_equal(event.kind == SGP_VIEW_REPLACED, of->joined);
            of->joined = true;
            of->join = event;
            continue;
        }
        bool moved = event.kind == SGP_VIEW_MOVED;
        if (moved) {
            assert_true(of->ended);
            assert_false(event.step == of->end.step && event.last == of->end.last);
        }
        if (event.kind == SGP_VIEW_DEAD) assert_false(of->ended);
        sgp_view_event_kind_t kind = moved ? of->end.kind : event.kind;
        of->ended = true;
        of->end = event;
        of->end.kind = kind;
    }
}

static void assert_all_told(const sgp_view_t *view, told_t told[SEATS][USES]) {
    for (int seat = 0; seat < SEATS; seat++) {
        for (uint32_t incarnation = 0; incarnation < USES; incarnation++) {
            sgp_view_member_t member;
            const told_t *of = &told[seat][incarnation];
            if (!sgp_view_member(view, seat, incarnation, &member)) continue;
            assert_int_equal(of->joined, member.candidate != 0);
            assert_int_equal(of->ended, member.end != 0);
            if (of->joined) assert_true(of->join.step == member.from);
            if (!of->ended) continue;
            assert_int_equal(of->end.kind,
                             member.end == SGP_MEMBER_LEFT ? SGP_VIEW_LEFT : SGP_VIEW_DEAD);
            assert_true(of->end.step == member.until && of->end.last == member.last);
        }
    }
}

/* A reader that takes the events now and then knows in the end what the view knows, and sees each
 * change at most once. */
static void test_events(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 5, 0);
    for (int round = 0; round < 300; round++) {
        sgp_view_t *view = new_view(SEATS, FOUNDERS);
        told_t told[SEATS][USES] = {{{0}}};
        for (int i = 0; i < MOST_NOTICES; i++) {
            sgp_member_notice_t notice = random_notice(&random);
            sgp_view_merge(view, &notice);
            if (sgp_random_below(&random, 4) == 0) {
                take_events(view, told);
                assert_all_told(view, told);
            }
        }
        take_events(view, told);
        assert_all_told(view, told);
        sgp_view_destroy(view);
    }
}

static void test_event_order(void **state) {
    (void)state;
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    sgp_view_event_t event;
    sgp_member_notice_t notices[] = {join_of(4, 0, 32, 5), end_of(SGP_MEMBER_DEAD, 0, 0, 32, 9),
                                     join_of(0, 1, 48, 6), end_of(SGP_MEMBER_DEAD, 4, 0, 48, 0)};
    static const struct {
        sgp_view_event_kind_t kind;
        int seat;
    } expected[] = {
        {SGP_VIEW_JOINED, 4}, {SGP_VIEW_DEAD, 4}, {SGP_VIEW_DEAD, 0}, {SGP_VIEW_JOINED, 0}};
    for (int i = 0; i < 4; i++) sgp_view_merge(view, &notices[i]);
    for (int i = 0; i < 4; i++) {
        assert_true(sgp_view_next_event(view, &event));
        assert_int_equal(event.kind, expected[i].kind);
        assert_int_equal(event.seat, expected[i].seat);
    }
    assert_false(sgp_view_next_event(view, &event));
    notices[0].candidate = 4;
    assert_true(sgp_view_merge(view, &notices[0]));
    assert_true(sgp_view_next_event(view, &event));
    assert_int_equal(event.kind, SGP_VIEW_REPLACED);
    assert_false(sgp_view_next_event(view, &event));
    sgp_view_destroy(view);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_founders_alone),
        cmocka_unit_test(test_bad_sizes),
        cmocka_unit_test(test_all_orders),
        cmocka_unit_test(test_idempotent),
        cmocka_unit_test(test_associative),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_digest_tells_views_apart),
        cmocka_unit_test(test_digest_covers),
        cmocka_unit_test(test_hash_is_stable),
        cmocka_unit_test(test_many_uses),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_cards),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_founders_do_not_join),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_event_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
