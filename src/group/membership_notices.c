/* SPDX-License-Identifier: Apache-2.0 */
/* The notices that a membership makes, and what a change of its view entails. */
#include "group/membership_internal.h"

#include "base/constants.h"
#include "base/logging.h"

/* ---- steps ---- */

uint64_t sgp_moment_step(const sgp_moment_t *moment, uint64_t round) {
    uint64_t length = moment->local_steps ? moment->local_steps : 1;
    uint64_t rounds = moment->rounds ? moment->rounds : 1;
    uint64_t exchange = moment->step + (length - 1 - moment->step % length), steps;
    if (round < moment->round) {
        uint64_t back = (moment->round - round - 1) / rounds + 1;
        return back <= exchange / length ? exchange - back * length : 0;
    }
    if (__builtin_mul_overflow((round - moment->round) / rounds, length, &steps))
        return SGP_MEMBER_STEPS - 1;
    if (steps >= SGP_MEMBER_STEPS - 1 - exchange) return SGP_MEMBER_STEPS - 1;
    return exchange + steps;
}

/* The last step of which a push of this rank has come, or in which it is known to have been; 0: none. */
static uint64_t last_push(const sgp_membership_t *membership, int rank) {
    const sgp_heard_t *heard = sgp_inbox_heard(membership->inbox, rank);
    const sgp_moment_t *moment = &membership->moment;
    if (rank == membership->self) return moment->step;
    if (!membership->begun || !heard->pushed || heard->push_channel != moment->channel) return 0;
    if (!moment->by_pair) return sgp_moment_step(moment, heard->push_step);
    uint64_t step = sgp_fates_pulse(membership->transport->fates, rank).step;
    uint64_t least = heard->push_step & ((UINT64_C(1) << SGP_PAIR_BITS) -
                                         1); /* at most one push to this node in a step */
    if (step < least) step = least;
    return step < SGP_MEMBER_STEPS ? step : SGP_MEMBER_STEPS - 1;
}

int sgp_membership_live(const sgp_membership_t *membership) {
    uint64_t step = atomic_load(&membership->step);
    int live = 0;
    for (int s = 0; s < sgp_view_seats(membership->view); s++)
        live += sgp_view_state(membership->view, s, step, NULL) == SGP_SEAT_LIVE;
    return live > 0 ? live : 1;
}

uint64_t sgp_membership_replan(sgp_membership_t *membership) {
    uint64_t heard = atomic_load(&membership->step), other = atomic_load(&membership->heard);
    return sgp_replan_round(sgp_membership_live(membership), other > heard ? other : heard,
                            atomic_load(&membership->local_steps));
}

/* ---- the view has changed ---- */

static void strike_off_self(sgp_membership_t *membership, sgp_view_claim_t claim) {
    membership->struck_off = true;
    sgp_flight_note(membership->transport->flight, SGP_FLIGHT_MESSAGES, SGP_FLIGHT_STRUCK_OFF,
                    membership->self, 0, 0);
    sgp_inbox_end_waits(
        membership->inbox,
        sgp_fail(SGP_ERR_PEER_LOST,
                 claim == SGP_CLAIM_REPLACED
                     ? "the others have given the place of this node (seat %d) to another one"
                     : "the others take this node (seat %d) for dead, and go on without it",
                 membership->self));
}

void sgp_membership_changed(sgp_membership_t *membership) {
    uint64_t digest = sgp_view_digest(membership->view);
    unsigned reach = 0;
    while (1 << reach < sgp_membership_live(membership)) reach++;
    atomic_store(&membership->spreads, 2 * reach);
    atomic_store(&membership->digest, digest);
    atomic_store(&membership->transport->digest, digest);
    atomic_store(&membership->version, sgp_view_version(membership->view));
    atomic_store(&membership->has_news, true);
    sgp_flight_note(membership->transport->flight, SGP_FLIGHT_MESSAGES, SGP_FLIGHT_VIEW, -1,
                    sgp_view_version(membership->view), (uint64_t)sgp_membership_live(membership));
    sgp_view_claim_t claim = sgp_view_claim(membership->view, membership->self,
                                            membership->incarnation, membership->candidate);
    if (claim != SGP_CLAIM_HOLDS && !membership->leaving && !membership->struck_off)
        strike_off_self(membership, claim);
}

/* ---- the end of a member ---- */

void sgp_membership_end(sgp_membership_t *membership, int rank, sgp_member_notice_kind_t kind,
                        bool certain) {
    sgp_fates_t *fates = membership->transport->fates;
    uint32_t incarnation = sgp_fates_incarnation(fates, rank);
    sgp_view_member_t member;
    bool known = sgp_view_member(membership->view, rank, incarnation, &member) && member.end;
    sgp_member_notice_t notice = {.kind = kind,
                                  .flags =
                                      kind == SGP_MEMBER_DEAD && certain ? SGP_MEMBER_CERTAIN : 0,
                                  .seat = rank,
                                  .incarnation = incarnation,
                                  .step = known ? member.until : sgp_membership_replan(membership),
                                  .last = last_push(membership, rank),
                                  .origin = membership->self};
    if (sgp_view_merge(membership->view, &notice)) sgp_membership_changed(membership);
}

/* ---- the steps of the others ---- */

void sgp_membership_note_steps(sgp_membership_t *membership) {
    uint64_t heard = atomic_load(&membership->heard);
    for (int r = 0; r < membership->size; r++) {
        uint64_t last = last_push(membership, r);
        if (last > heard && r != membership->self) heard = last;
        atomic_store(&membership->peers[r].step, last);
    }
    atomic_store(&membership->heard, heard);
}
