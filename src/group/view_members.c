/* SPDX-License-Identifier: Apache-2.0 */
#include "group/view_seats.h"

bool sgp_view_newest(const sgp_view_t *view, int seat, uint32_t *incarnation) {
    if (!view->seats[seat].used) return false;
    *incarnation = view->seats[seat].newest;
    return true;
}

/* NULL: nothing is known about the member. */
static const sgp_view_record_t *find(const sgp_view_t *view, int number, uint32_t incarnation) {
    const sgp_view_seat_t *seat = &view->seats[number];
    if (!seat->used || incarnation > seat->newest) return NULL;
    uint32_t age = seat->newest - incarnation;
    if (age >= sgp_view_kept(seat)) return NULL;
    const sgp_view_record_t *record = sgp_view_record_of(seat, age);
    return record->joined || record->end ? record : NULL;
}

bool sgp_view_member(const sgp_view_t *view, int seat, uint32_t incarnation,
                     sgp_view_member_t *member) {
    const sgp_view_record_t *record = find(view, seat, incarnation);
    if (!record) return false;
    bool newest = incarnation == view->seats[seat].newest;
    *member = (sgp_view_member_t){
        .seat = seat,
        .incarnation = incarnation,
        .from = record->joined ? record->from : SGP_VIEW_NEVER,
        .until = record->end ? record->until : SGP_VIEW_NEVER,
        .end = (sgp_member_notice_kind_t)record->end,
        .certain = record->end == SGP_MEMBER_LEFT || record->certain,
        .last = record->last,
        .candidate = record->candidate,
        .card = sgp_view_card(view, seat),
        .card_bytes = newest ? view->seats[seat].card_bytes : 0,
        .version = record->version,
    };
    return true;
}

sgp_view_claim_t sgp_view_claim(const sgp_view_t *view, int seat, uint32_t incarnation,
                                uint64_t candidate) {
    const sgp_view_seat_t *at = &view->seats[seat];
    if (at->used && at->newest > incarnation) return SGP_CLAIM_REPLACED;
    const sgp_view_record_t *record = find(view, seat, incarnation);
    if (!record) return SGP_CLAIM_HOLDS;
    if (record->joined && record->candidate != candidate) return SGP_CLAIM_REPLACED;
    return record->end ? SGP_CLAIM_STRUCK_OFF : SGP_CLAIM_HOLDS;
}

/* ---- events ---- */

/* false: the member has no news. */
static bool take_news(sgp_view_record_t *record, sgp_view_event_t *event) {
    if (record->news & SGP_NEWS_JOIN) {
        bool again = record->told & SGP_NEWS_JOIN;
        record->news &= (uint8_t)~SGP_NEWS_JOIN;
        record->told |= SGP_NEWS_JOIN;
        event->kind = again ? SGP_VIEW_REPLACED : SGP_VIEW_JOINED;
        event->step = record->from;
        return true;
    }
    if (record->news & SGP_NEWS_END) {
        bool again = record->told & SGP_NEWS_END && record->told_end == record->end;
        record->news &= (uint8_t)~SGP_NEWS_END;
        record->told |= SGP_NEWS_END;
        record->told_end = record->end;
        event->kind = record->end == SGP_MEMBER_LEFT ? SGP_VIEW_LEFT : SGP_VIEW_DEAD;
        if (again) event->kind = SGP_VIEW_MOVED;
        event->step = record->until;
        event->last = record->last;
        return true;
    }
    return false;
}

bool sgp_view_next_event(sgp_view_t *view, sgp_view_event_t *event) {
    while (view->first) {
        int number = (int)view->first - 1;
        sgp_view_seat_t *seat = &view->seats[number];
        for (uint32_t age = sgp_view_kept(seat); age-- > 0;) {
            *event = (sgp_view_event_t){.seat = number, .incarnation = seat->newest - age};
            if (take_news(sgp_view_record(seat, age), event)) return true;
        }
        seat->listed = 0;
        view->first = seat->next;
        if (!view->first) view->last = 0;
    }
    return false;
}
