/* SPDX-License-Identifier: Apache-2.0 */
#include "group/view_plan.h"

#include "group/view_seats.h"

#include <string.h>

static bool in_plan(const sgp_view_record_t *record, uint64_t step) {
    return record->joined && record->from <= step && (!record->end || step < record->until);
}

sgp_seat_state_t sgp_view_state(const sgp_view_t *view, int seat, uint64_t step,
                                uint32_t *incarnation) {
    const sgp_view_seat_t *at = &view->seats[seat];
    if (!at->used) return SGP_SEAT_ABSENT;
    for (uint32_t age = 0; age < sgp_view_kept(at); age++) {
        const sgp_view_record_t *record = sgp_view_record_of(at, age);
        if (!in_plan(record, step)) continue;
        if (incarnation) *incarnation = at->newest - age;
        return age == 0 && !record->end ? SGP_SEAT_LIVE : SGP_SEAT_HOLE;
    }
    return SGP_SEAT_ABSENT;
}

int sgp_view_plan(const sgp_view_t *view, uint64_t step, int *seats) {
    int count = 0;
    for (int seat = 0; seat < view->used; seat++)
        if (sgp_view_state(view, seat, step, NULL) != SGP_SEAT_ABSENT) seats[count++] = seat;
    return count;
}

int sgp_plan_rank(const int *seats, int count, int seat) {
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (seats[middle] < seat) low = middle + 1;
        else high = middle;
    }
    return low < count && seats[low] == seat ? low : -1;
}

static uint64_t earlier(uint64_t change, uint64_t step, uint64_t found) {
    return change > step && change < found ? change : found;
}

uint64_t sgp_view_next_change(const sgp_view_t *view, uint64_t step) {
    uint64_t found = SGP_VIEW_NEVER;
    for (int seat = 0; seat < view->used; seat++) {
        const sgp_view_seat_t *at = &view->seats[seat];
        if (!at->used) continue;
        for (uint32_t age = 0; age < sgp_view_kept(at); age++) {
            const sgp_view_record_t *record = sgp_view_record_of(at, age);
            if (record->joined) found = earlier(record->from, step, found);
            if (record->end) found = earlier(record->until, step, found);
        }
    }
    return found;
}

int sgp_view_live(const sgp_view_t *view, uint64_t step, uint64_t *set) {
    int count = 0;
    memset(set, 0, sgp_seat_words(view->capacity) * sizeof *set);
    for (int seat = 0; seat < view->used; seat++) {
        if (sgp_view_state(view, seat, step, NULL) != SGP_SEAT_LIVE) continue;
        set[seat / 64] |= UINT64_C(1) << seat % 64;
        count++;
    }
    return count;
}

uint64_t sgp_replan_interval(int live) {
    uint64_t reach = 0, interval = SGP_MEMBER_STEP_UNIT;
    while (UINT64_C(1) << reach < (uint64_t)live) reach++;
    while (interval < 2 * reach + 4) interval *= 2;
    return interval;
}

uint64_t sgp_replan_step(int live, uint64_t heard) {
    uint64_t interval = sgp_replan_interval(live), most = SGP_MEMBER_STEPS - 2 * interval;
    uint64_t least = (heard < most ? heard : most) + interval / 2 + 1;
    return (least + interval - 1) / interval * interval;
}

uint64_t sgp_replan_round(int live, uint64_t heard, uint64_t local_steps) {
    uint64_t length = local_steps > 1 ? local_steps : 1;
    uint64_t round = sgp_replan_step(live, heard / length), step;
    bool fits = !__builtin_mul_overflow(round, length, &step) && step < SGP_MEMBER_STEPS;
    return fits ? step : sgp_replan_step(live, heard);
}
