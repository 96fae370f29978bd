/* SPDX-License-Identifier: Apache-2.0 */
/* Newcomers in a membership: their seats are opened, and given away. */
#include "group/membership_internal.h"

#include "group/join/card.h"

#include <string.h>

/* ---- seats of newcomers ---- */

/* What is known of the seat's earlier member does not count for the new one. */
static void begin_with(sgp_membership_t *membership, int seat) {
    sgp_peer_t *peer = &membership->peers[seat];
    sgp_verdict_end(&peer->verdict);
    peer->own = peer->theirs = peer->ended = 0;
    peer->sending = peer->silent = peer->doubtful = false;
    peer->chosen = true;
    atomic_store(&peer->step, 0);
    sgp_post_restart(&membership->views, seat);
    sgp_post_restart(&membership->questions, seat);
    sgp_inbox_forget(membership->inbox, seat);
}

/* true: later. */
static bool open_seat(sgp_membership_t *membership, const sgp_view_member_t *member) {
    sgp_transport_t *transport = membership->transport;
    sgp_peer_t *peer = &membership->peers[member->seat];
    if (peer->refused && peer->refused_for == member->incarnation) return false;
    if (sgp_fates_of(transport->fates, member->seat).state == SGP_FATE_PRESENT)
        sgp_transport_give_up(transport, member->seat, sgp_fate_lost(SGP_CAUSE_STRUCK_OFF),
                              "its place has gone to another one");
    if (sgp_fates_of(transport->fates, member->seat).state == SGP_FATE_PRESENT) return true;
    sgp_status_t status = sgp_card_open(transport, member->seat, member->incarnation, member->card,
                                        member->card_bytes);
    if (status == SGP_ERR_AGAIN) return true;
    if (status == SGP_OK) begin_with(membership, member->seat);
    else {
        peer->refused = true;
        peer->refused_for = member->incarnation;
    }
    return false;
}

/* Whether this node has not opened the seat for that member yet. One that has ended meanwhile is in the graph until its K: it
 * is opened, so that the transport finds it gone. */
static bool is_new(const sgp_membership_t *membership, const sgp_view_member_t *member) {
    sgp_fates_t *fates = membership->transport->fates;
    bool over = member->end && member->until <= atomic_load(&membership->step);
    if (member->seat == membership->self || !member->candidate || over) return false;
    if (sgp_fates_of(fates, member->seat).state == SGP_FATE_ABSENT) return true;
    return sgp_fates_incarnation(fates, member->seat) < member->incarnation;
}

/* A newcomer's first step is at least R/2 + 1 steps beyond the one in which its sponsor makes the notice (view_plan.h). Most of
 * these are for the notice to spread. */
enum { STEPS_BEFORE = 4 };

static bool is_near(const sgp_membership_t *membership, uint64_t first) {
    uint64_t own = atomic_load(&membership->step), other = atomic_load(&membership->heard);
    return (own > other ? own : other) + STEPS_BEFORE >= first;
}

bool sgp_membership_is_settled(sgp_membership_t *membership, int seat, uint32_t incarnation,
                               uint64_t candidate, bool *stays) {
    sgp_view_member_t member = {.from = 0};
    pthread_mutex_lock(&membership->lock);
    *stays = sgp_view_claim(membership->view, seat, incarnation, candidate) == SGP_CLAIM_HOLDS;
    sgp_view_member(membership->view, seat, incarnation, &member);
    pthread_mutex_unlock(&membership->lock);
    return !*stays || is_near(membership, member.from);
}

bool sgp_membership_open_seats(sgp_membership_t *membership) {
    bool left = false;
    if (membership->opened == sgp_view_version(membership->view)) return false;
    membership->opening = false;
    for (int s = 0; s < sgp_view_seats(membership->view); s++) {
        uint32_t newest;
        sgp_view_member_t member;
        if (!sgp_view_newest(membership->view, s, &newest) ||
            !sgp_view_member(membership->view, s, newest, &member) || !is_new(membership, &member))
            continue;
        if (is_near(membership, member.from)) left |= open_seat(membership, &member);
        else membership->opening = true;
    }
    if (!left && !membership->opening) membership->opened = sgp_view_version(membership->view);
    return left;
}

/* ---- giving seats away ---- */

/* The seat of a member that has left is free once its K has passed: until then the graph has it. Not after the last
 * incarnation that can be counted. */
bool sgp_membership_is_free(sgp_membership_t *membership, int seat, uint32_t *incarnation) {
    uint32_t newest = 0;
    sgp_view_member_t member = {.seat = seat};
    pthread_mutex_lock(&membership->lock);
    bool used = sgp_view_newest(membership->view, seat, &newest);
    bool known = used && sgp_view_member(membership->view, seat, newest, &member);
    uint64_t step = atomic_load(&membership->step);
    pthread_mutex_unlock(&membership->lock);
    if (used && newest == UINT32_MAX) return false;
    *incarnation = used ? newest + 1 : 0;
    return !known || (member.end && member.until <= step);
}
