/* SPDX-License-Identifier: Apache-2.0 */
#include "group/view_seats.h"

bool sgp_view_join_of(const sgp_view_t *view, int seat, uint32_t age, sgp_member_notice_t *notice) {
    const sgp_view_seat_t *at = &view->seats[seat];
    const sgp_view_record_t *record = sgp_view_record_of(at, age);
    if (!record->joined || sgp_view_is_founder(view, seat, at->newest - age)) return false;
    *notice = (sgp_member_notice_t){.kind = SGP_MEMBER_JOIN,
                                    .seat = seat,
                                    .incarnation = at->newest - age,
                                    .step = record->from,
                                    .candidate = record->candidate,
                                    .origin = record->from_origin,
                                    .card_bytes = age == 0 ? at->card_bytes : 0,
                                    .card = sgp_view_card(view, seat)};
    return true;
}

bool sgp_view_end_of(const sgp_view_t *view, int seat, uint32_t age, sgp_member_notice_t *notice) {
    const sgp_view_seat_t *at = &view->seats[seat];
    const sgp_view_record_t *record = sgp_view_record_of(at, age);
    if (!record->end) return false;
    bool certain = record->end == SGP_MEMBER_DEAD && record->certain;
    *notice = (sgp_member_notice_t){.kind = (sgp_member_notice_kind_t)record->end,
                                    .flags = certain ? SGP_MEMBER_CERTAIN : 0,
                                    .seat = seat,
                                    .incarnation = at->newest - age,
                                    .step = record->until,
                                    .last = record->last,
                                    .origin = record->until_origin};
    return true;
}
