/* SPDX-License-Identifier: Apache-2.0 */
#include "group/view_seats.h"

#include "base/constants.h"
#include "base/logging.h"
#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void seat_founders(sgp_view_t *view) {
    for (int seat = 0; seat < view->founders; seat++) {
        view->seats[seat].used = 1;
        view->seats[seat].records[0].joined = 1;
    }
    view->used = view->founders;
}

sgp_status_t sgp_view_create(int capacity, int founders, sgp_view_t **view) {
    if (capacity < 1 || capacity > SGP_MOST_PROCESSES)
        return sgp_fail(SGP_ERR_INVALID, "a view of %d seats: it can have 1 to %d", capacity,
                        SGP_MOST_PROCESSES);
    if (founders < 1 || founders > capacity)
        return sgp_fail(SGP_ERR_INVALID, "a view of %d founders: they can be 1 to %d", founders,
                        capacity);
    sgp_view_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a view");
    made->capacity = capacity;
    made->founders = founders;
    /* Pages of seats that are never used are never touched, and cost nothing. */
    made->seats = sgp_memory_alloc((size_t)capacity * sizeof *made->seats);
    made->cards = sgp_memory_alloc((size_t)capacity * SGP_MEMBER_CARD_BYTES);
    if (!made->seats || !made->cards) {
        sgp_view_destroy(made);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a view of %d seats", capacity);
    }
    seat_founders(made);
    *view = made;
    return SGP_OK;
}

void sgp_view_destroy(sgp_view_t *view) {
    if (!view) return;
    sgp_memory_free(view->seats);
    sgp_memory_free(view->cards);
    free(view);
}

int sgp_view_capacity(const sgp_view_t *view) {
    return view->capacity;
}

int sgp_view_founders(const sgp_view_t *view) {
    return view->founders;
}

int sgp_view_seats(const sgp_view_t *view) {
    return view->used;
}

uint64_t sgp_view_digest(const sgp_view_t *view) {
    return view->digest;
}

uint64_t sgp_view_version(const sgp_view_t *view) {
    return view->version;
}

/* ---- merging ---- */

/* The hashes of both notices of a record. */
static uint64_t digest_of(const sgp_view_t *view, int seat, uint32_t age) {
    sgp_member_notice_t notice;
    uint64_t digest = 0;
    if (sgp_view_join_of(view, seat, age, &notice)) digest ^= sgp_member_notice_hash(&notice);
    if (sgp_view_end_of(view, seat, age, &notice)) digest ^= sgp_member_notice_hash(&notice);
    return digest;
}

const char *sgp_view_check(const sgp_view_t *view, const sgp_member_notice_t *notice) {
    if (notice->kind == SGP_MEMBER_JOIN &&
        sgp_view_is_founder(view, notice->seat, notice->incarnation))
        return "a JOIN of a founder";
    return sgp_member_notice_check(notice, view->capacity);
}

/* Makes the incarnation the newest of its seat, and forgets those that are too old then. */
static void advance(sgp_view_t *view, int number, uint32_t incarnation) {
    sgp_view_seat_t *seat = &view->seats[number];
    uint32_t ahead = incarnation - seat->newest, kept = sgp_view_kept(seat);
    for (uint32_t age = 0; age < kept; age++) {
        if (age + (uint64_t)ahead < SGP_VIEW_INCARNATIONS) continue;
        view->digest ^= digest_of(view, number, age);
        *sgp_view_record(seat, age) = (sgp_view_record_t){.joined = 0};
    }
    seat->newest = incarnation;
    seat->card_bytes = 0;
}

/* The record that a notice belongs to; NULL: it is too old. */
static sgp_view_record_t *record_for(sgp_view_t *view, const sgp_member_notice_t *notice,
                                     uint32_t *age) {
    sgp_view_seat_t *seat = &view->seats[notice->seat];
    if (!seat->used) {
        seat->used = 1;
        seat->newest = notice->incarnation;
        if (notice->seat >= view->used) view->used = notice->seat + 1;
    }
    if (notice->incarnation > seat->newest) advance(view, notice->seat, notice->incarnation);
    *age = seat->newest - notice->incarnation;
    return *age < SGP_VIEW_INCARNATIONS ? sgp_view_record(seat, *age) : NULL;
}

/* By step, then by origin. */
static bool is_before(uint64_t step, int origin, uint64_t other_step, int other_origin) {
    return step < other_step || (step == other_step && origin < other_origin);
}

/* Keeps the longer card, of equally long ones the greater. Members send equal ones or none. */
static void merge_card(sgp_view_t *view, const sgp_member_notice_t *notice) {
    sgp_view_seat_t *seat = &view->seats[notice->seat];
    unsigned char *card = sgp_view_card(view, notice->seat);
    size_t bytes = notice->card_bytes;
    if (bytes < seat->card_bytes || bytes == 0) return;
    if (bytes == seat->card_bytes && memcmp(notice->card, card, bytes) <= 0) return;
    memcpy(card, notice->card, bytes);
    seat->card_bytes = (uint16_t)bytes;
}

static void merge_join(sgp_view_t *view, sgp_view_record_t *record,
                       const sgp_member_notice_t *notice) {
    sgp_view_seat_t *seat = &view->seats[notice->seat];
    bool newest = notice->incarnation == seat->newest, first = !record->joined;
    if (!first && notice->candidate > record->candidate) return;
    bool other = first || notice->candidate < record->candidate;
    if (other && newest) seat->card_bytes = 0;
    if (other || is_before(notice->step, notice->origin, record->from, record->from_origin)) {
        record->from = notice->step;
        record->from_origin = (uint16_t)notice->origin;
    }
    record->joined = 1;
    record->candidate = notice->candidate;
    if (newest) merge_card(view, notice);
}

static void merge_end(sgp_view_record_t *record, const sgp_member_notice_t *notice) {
    if (!record->end ||
        is_before(notice->step, notice->origin, record->until, record->until_origin)) {
        record->until = notice->step;
        record->until_origin = (uint16_t)notice->origin;
    }
    if (notice->last > record->last) record->last = notice->last;
    if (notice->flags & SGP_MEMBER_CERTAIN) record->certain = 1;
    if (record->end != SGP_MEMBER_LEFT) record->end = (uint8_t)notice->kind;
}

static void list_news(sgp_view_t *view, int number, sgp_view_record_t *record, unsigned news) {
    sgp_view_seat_t *seat = &view->seats[number];
    record->news |= (uint8_t)news;
    if (seat->listed) return;
    seat->listed = 1;
    seat->next = 0;
    if (view->last) view->seats[view->last - 1].next = (uint32_t)number + 1;
    else view->first = (uint32_t)number + 1;
    view->last = (uint32_t)number + 1;
}

bool sgp_view_merge(sgp_view_t *view, const sgp_member_notice_t *notice) {
    assert(!sgp_view_check(view, notice));
    uint32_t age;
    sgp_view_record_t *record = record_for(view, notice, &age);
    if (!record) return false;
    uint64_t before = digest_of(view, notice->seat, age);
    if (notice->kind == SGP_MEMBER_JOIN) merge_join(view, record, notice);
    else merge_end(record, notice);
    uint64_t after = digest_of(view, notice->seat, age);
    if (after == before) return false;
    view->digest ^= before ^ after;
    record->version = ++view->version;
    list_news(view, notice->seat, record,
              notice->kind == SGP_MEMBER_JOIN ? SGP_NEWS_JOIN : SGP_NEWS_END);
    return true;
}
