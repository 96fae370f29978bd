/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of views: random notices, and the merged notices as their definition gives them. */
#ifndef SGP_TESTS_GROUP_NOTICES_H
#define SGP_TESTS_GROUP_NOTICES_H

#include "cmocka_all.h"

#include "base/random.h"
#include "group/view_message.h"

#include <stdlib.h>
#include <string.h>

/* Few values, so that notices of the same member are frequent, and more incarnations than are kept. */
enum { SEATS = 5, FOUNDERS = 3, USES = 6, MOST_NOTICES = 64 };

static inline sgp_view_t *new_view(int capacity, int founders) {
    sgp_view_t *view = NULL;
    assert_int_equal(sgp_view_create(capacity, founders, &view), SGP_OK);
    return view;
}

static inline sgp_member_notice_t join_of(int seat, uint32_t incarnation, uint64_t step,
                                          uint64_t candidate) {
    return (sgp_member_notice_t){.kind = SGP_MEMBER_JOIN,
                                 .seat = seat,
                                 .incarnation = incarnation,
                                 .step = step,
                                 .candidate = candidate};
}

static inline sgp_member_notice_t end_of(sgp_member_notice_kind_t kind, int seat,
                                         uint32_t incarnation, uint64_t step, uint64_t last) {
    return (sgp_member_notice_t){
        .kind = kind, .seat = seat, .incarnation = incarnation, .step = step, .last = last};
}

static inline sgp_member_notice_t random_join(sgp_random_t *random) {
    static const unsigned char cards[] = "card of one, of two, of three";
    sgp_member_notice_t notice =
        join_of((int)sgp_random_below(random, SEATS), (uint32_t)sgp_random_below(random, USES),
                16 * (1 + sgp_random_below(random, 3)), 1 + sgp_random_below(random, 3));
    if (notice.seat < FOUNDERS && notice.incarnation == 0) notice.incarnation = 1;
    notice.origin = (int)sgp_random_below(random, SEATS);
    notice.card_bytes = 4 * sgp_random_below(random, 3);
    notice.card = cards + 4 * sgp_random_below(random, 4);
    return notice;
}

static inline sgp_member_notice_t random_notice(sgp_random_t *random) {
    if (sgp_random_below(random, 2)) return random_join(random);
    sgp_member_notice_t notice =
        end_of(sgp_random_below(random, 3) ? SGP_MEMBER_DEAD : SGP_MEMBER_LEFT,
               (int)sgp_random_below(random, SEATS), (uint32_t)sgp_random_below(random, USES),
               16 * (1 + sgp_random_below(random, 3)), sgp_random_below(random, 3));
    notice.origin = (int)sgp_random_below(random, SEATS);
    if (notice.kind == SGP_MEMBER_DEAD && sgp_random_below(random, 2))
        notice.flags = SGP_MEMBER_CERTAIN;
    return notice;
}

static inline void random_notices(sgp_random_t *random, sgp_member_notice_t *notices, int count) {
    for (int i = 0; i < count; i++) notices[i] = random_notice(random);
}

/* A seat's newest incarnation in a set of notices; false: it is never used. */
static inline bool newest_in(const sgp_member_notice_t *notices, int count, int seat,
                             uint32_t *newest) {
    bool used = seat < FOUNDERS;
    *newest = 0;
    for (int i = 0; i < count; i++) {
        if (notices[i].seat != seat) continue;
        used = true;
        if (notices[i].incarnation > *newest) *newest = notices[i].incarnation;
    }
    return used;
}

/* The merged notices of a member, by the rules of view.h. false: there is none, and it is no
 * founder. */
static inline bool merged_in(const sgp_member_notice_t *notices, int count, int seat,
                             uint32_t incarnation, sgp_view_member_t *merged) {
    bool founder = seat < FOUNDERS && incarnation == 0;
    *merged = (sgp_view_member_t){.seat = seat,
                                  .incarnation = incarnation,
                                  .from = founder ? 0 : SGP_VIEW_NEVER,
                                  .until = SGP_VIEW_NEVER};
    for (int i = 0; i < count; i++) {
        const sgp_member_notice_t *notice = &notices[i];
        if (notice->seat != seat || notice->incarnation != incarnation) continue;
        if (notice->kind == SGP_MEMBER_JOIN) {
            if (merged->candidate && notice->candidate > merged->candidate) continue;
            if (notice->candidate != merged->candidate || notice->step < merged->from)
                merged->from = notice->step;
            merged->candidate = notice->candidate;
            continue;
        }
        if (notice->step < merged->until) merged->until = notice->step;
        if (notice->last > merged->last) merged->last = notice->last;
        if (notice->kind == SGP_MEMBER_LEFT || notice->flags) merged->certain = true;
        if (merged->end != SGP_MEMBER_LEFT) merged->end = notice->kind;
    }
    return founder || merged->candidate || merged->end;
}

/* The same, where it is kept. */
static inline bool kept_in(const sgp_member_notice_t *notices, int count, int seat,
                           uint32_t incarnation, sgp_view_member_t *merged) {
    uint32_t newest;
    if (!newest_in(notices, count, seat, &newest) || incarnation > newest) return false;
    if (newest - incarnation >= SGP_VIEW_INCARNATIONS) return false;
    return merged_in(notices, count, seat, incarnation, merged);
}

/* What the digest covers. */
static inline bool same_member(const sgp_view_member_t *a, const sgp_view_member_t *b) {
    return a->seat == b->seat && a->incarnation == b->incarnation && a->from == b->from &&
           a->until == b->until && a->end == b->end && a->last == b->last &&
           a->candidate == b->candidate;
}

/* All bytes of a view that fits into one message. Returns their number. */
static inline size_t bytes_of(const sgp_view_t *view, unsigned char *bytes) {
    sgp_view_cursor_t cursor = {0};
    size_t size = sgp_view_encode(view, 0, &cursor, bytes, SGP_VIEW_MOST_BYTES);
    assert_true(cursor.done);
    return size;
}

/* Also in origins, flags and cards. */
static inline void assert_same_view(const sgp_view_t *a, const sgp_view_t *b) {
    static unsigned char of_a[SGP_VIEW_MOST_BYTES], of_b[SGP_VIEW_MOST_BYTES];
    size_t size = bytes_of(a, of_a);
    assert_int_equal(size, bytes_of(b, of_b));
    assert_memory_equal(of_a, of_b, size);
    assert_true(sgp_view_digest(a) == sgp_view_digest(b));
}

static inline sgp_view_t *merged_view(const sgp_member_notice_t *notices, int count) {
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    for (int i = 0; i < count; i++) sgp_view_merge(view, &notices[i]);
    return view;
}

#endif
