/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of a step: the seats over which its graph is built, as a function of a view
 * (group/view.h) and the step. Two nodes with the same view have the same plans. The group and the
 * mixing call it. Pure functions; none allocates.
 *
 * A member is in the plan from its JOIN's step on, up to the step of its LEFT or DEAD. One that is in
 * the plan and known to have left or died is a hole: no node sends to it or waits for it, and the
 * graph stays. The others are live. The protocol is in docs/membership.md, "The view and the plan". */
#ifndef SGP_GROUP_VIEW_PLAN_H
#define SGP_GROUP_VIEW_PLAN_H

#include "group/view.h"

typedef enum sgp_seat_state {
    SGP_SEAT_ABSENT, /* not in the plan */
    SGP_SEAT_HOLE,   /* in the plan; its member has an end, or a newer one has its seat */
    SGP_SEAT_LIVE,   /* in the plan, and not known to have ended */
} sgp_seat_state_t;

/* incarnation: of the member that is in the plan, where there is one; NULL: not wanted. */
sgp_seat_state_t sgp_view_state(const sgp_view_t *view, int seat, uint64_t step,
                                uint32_t *incarnation);

/* Writes the seats in the plan of a step, in ascending order, and returns their number. Room for
 * sgp_view_seats of them. A seat's place in the list is its rank. Looks at all seats: plans are kept
 * until sgp_view_next_change, or until the view changes. */
int sgp_view_plan(const sgp_view_t *view, uint64_t step, int *seats);

/* The rank of a seat in a plan, or -1. */
int sgp_plan_rank(const int *seats /* (count) ascending */, int count, int seat);

/* A step after `step`, up to which its plan holds; SGP_VIEW_NEVER: it holds for all. */
uint64_t sgp_view_next_change(const sgp_view_t *view, uint64_t step);

/* ---- sets of seats, as bits: seat s is bit s % 64 of word s / 64 ---- */

static inline size_t sgp_seat_words(int capacity) {
    return ((size_t)capacity + 63) / 64;
}

static inline bool sgp_seat_in(const uint64_t *set, int seat) {
    return set[seat / 64] >> seat % 64 & 1;
}

/* Writes the set of live seats of a step, and returns their number. */
int sgp_view_live(const sgp_view_t *view, uint64_t step,
                  uint64_t *set /* (sgp_seat_words(capacity)) */);

/* ---- the step of a new notice ---- */

/* R: graphs are formed anew at multiples of it. live: members, at least 1. The smallest power of two
 * that is at least 16, and at least 2 ceil(log2 live) + 4. */
uint64_t sgp_replan_interval(int live);

/* K: the smallest multiple of R that is at least R / 2 + 1 beyond `heard`, the highest step that the
 * maker of the notice has heard of. live: members in the maker's view. Always a step that a notice
 * may have: what is heard comes from others, and an impossible step counts as the largest one. */
uint64_t sgp_replan_step(int live, uint64_t heard);

/* The same where a round lasts `local_steps` steps (0: one): K is the first step of a round, and R and the lead are rounds.
 * Within a round nodes do not wait for each other, so one can be ahead of what another has heard by as many steps. */
uint64_t sgp_replan_round(int live, uint64_t heard, uint64_t local_steps);

#endif
