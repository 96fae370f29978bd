/* SPDX-License-Identifier: Apache-2.0 */
/* What a membership does in each look at the inbox: the fates, the others' notices, and the spreading. */
#include "group/membership_internal.h"

#include "base/constants.h"

#include <string.h>

/* An end that came while this node stood still is noticed so soon after that. */
#define NOTICED_WITHIN (500 * SGP_MILLISECOND)

/* ---- the fates of the ranks ---- */

static void look_at_fate(sgp_membership_t *membership, const sgp_fate_event_t *event) {
    int rank = event->rank;
    bool doubtful =
        event->fate.cause == SGP_CAUSE_SILENT || event->fate.cause == SGP_CAUSE_UNREACHED;
    if (rank == membership->self) { /* a transport tells only of one that others have struck off */
        if (event->fate.state == SGP_FATE_LOST)
            sgp_membership_end(membership, rank, SGP_MEMBER_DEAD, false);
        return;
    }
    if (membership->candidate && !membership->begun)
        return; /* perhaps this newcomer is no member: its seat can go to another one */
    membership->peers[rank].silent = event->silent;
    if (event->fate.state != SGP_FATE_PRESENT)
        membership->peers[rank].unseen = membership->paused || membership->was_away;
    if (event->fate.state == SGP_FATE_PRESENT)
        sgp_membership_hears(membership, rank, !event->silent);
    else if (event->fate.state == SGP_FATE_LEFT)
        sgp_membership_end(membership, rank, SGP_MEMBER_LEFT, true);
    else if (doubtful) membership->peers[rank].doubtful = true;
    else sgp_membership_end(membership, rank, SGP_MEMBER_DEAD, true);
}

/* This node runs again after so long that the others had the time to strike it off, before any that ended meanwhile did. */
static void note_return(sgp_membership_t *membership) {
    uint64_t now = sgp_transport_now(membership->transport);
    if (sgp_fates_take_jump(membership->transport->fates) >= membership->options.dead_together_ns)
        membership->away_until = now + NOTICED_WITHIN;
    membership->was_away = now < membership->away_until;
}

/* Members that were gone when this newcomer came: its sponsor may have ended before it said so to anybody. */
static void look_at_found(sgp_membership_t *membership) {
    for (int r = 0; r < membership->size; r++)
        if (sgp_fates_found_gone(membership->transport->fates, r))
            membership->peers[r].doubtful = true;
    membership->looks_again = false;
}

static void look_at_fates(sgp_membership_t *membership) {
    sgp_fates_t *fates = membership->transport->fates;
    sgp_fate_event_t event;
    uint32_t events = sgp_fates_events(fates);
    if (events == membership->events && !membership->looks_again) return;
    membership->events = events;
    note_return(membership);
    sgp_inbox_collect(membership->inbox); /* what those have sent that are gone */
    sgp_membership_note_steps(membership);
    while (sgp_fates_next_event(fates, membership->seen, &event)) look_at_fate(membership, &event);
    if (membership->looks_again) look_at_found(membership);
}

/* ---- the others' notices ---- */

static void take_views(sgp_membership_t *membership) {
    const unsigned char *bytes;
    const char *reason;
    size_t count;
    for (int src = 0; sgp_post_take(&membership->views, &src, &bytes, &count);) {
        unsigned flags;
        bool news = false;
        if (sgp_view_decode(membership->view, bytes, count, &flags, &news, &reason) != SGP_OK)
            sgp_post_refuse(&membership->views, src, reason);
        if (news) sgp_membership_changed(membership);
    }
}

/* ---- spreading ---- */

/* The next live seat after this one, in a circle; -1: none. */
static int next_live(const sgp_membership_t *membership) {
    uint64_t step = atomic_load(&membership->step);
    for (int i = 1; i < membership->size; i++) {
        int seat = (membership->self + i) % membership->size;
        if (sgp_view_state(membership->view, seat, step, NULL) == SGP_SEAT_LIVE) return seat;
    }
    return -1;
}

/* Lost only because it was not heard: if it lives it learns from our view that the others go on without it. */
static bool is_struck_off(const sgp_membership_t *membership, int rank) {
    sgp_fate_t fate = sgp_fates_of(membership->transport->fates, rank);
    return fate.state == SGP_FATE_LOST && fate.cause == SGP_CAUSE_SILENT;
}

/* Whether the rank gets our view: once for each pair of its digest and ours. */
static bool is_due(const sgp_membership_t *membership, int rank, int next) {
    const sgp_peer_t *peer = &membership->peers[rank];
    const sgp_heard_t *heard = sgp_inbox_heard(membership->inbox, rank);
    uint64_t own = sgp_view_digest(membership->view);
    bool struck = is_struck_off(membership, rank);
    if (rank == membership->self || (peer->silent && !struck)) return false;
    if (struck) return peer->own != own;
    if (!peer->chosen && !heard->pushed && !heard->sent && heard->view == 0 && rank != next)
        return false; /* no edge */
    return heard->view != own && (peer->own != own || peer->theirs != heard->view);
}

/* false: there was no room for all of it. */
static bool send_view(sgp_membership_t *membership, int rank) {
    sgp_peer_t *peer = &membership->peers[rank];
    if (!peer->sending) peer->cursor = (sgp_view_cursor_t){.seat = 0};
    peer->sending = true;
    while (!peer->cursor.done) {
        sgp_view_cursor_t cursor = peer->cursor;
        size_t count = sgp_view_encode(membership->view, 0, &cursor, membership->message,
                                       membership->views.room);
        if (sgp_post_send(&membership->views, rank, membership->message, count) != SGP_OK)
            return false;
        peer->cursor = cursor;
    }
    peer->sending = peer->chosen = false;
    peer->own = sgp_view_digest(membership->view);
    peer->theirs = sgp_inbox_heard(membership->inbox, rank)->view;
    return true;
}

/* true: something is left. */
static bool spread(sgp_membership_t *membership) {
    bool left = false;
    int next = next_live(membership);
    for (int r = 0; r < membership->size; r++) {
        bool present = sgp_fates_of(membership->transport->fates, r).state == SGP_FATE_PRESENT;
        if ((present || is_struck_off(membership, r)) && is_due(membership, r, next))
            left |= !send_view(membership, r);
        else membership->peers[r].chosen = false;
    }
    return left;
}

bool sgp_membership_serve(void *context) {
    sgp_membership_t *membership = context;
    pthread_mutex_lock(&membership->lock);
    atomic_store(&membership->told, false);
    sgp_membership_note_steps(membership);
    look_at_fates(membership);
    take_views(membership);
    bool left = sgp_membership_open_seats(membership);
    left |= sgp_membership_listen(membership);
    left |= spread(membership);
    pthread_mutex_unlock(&membership->lock);
    return left;
}

void sgp_membership_look_again(sgp_membership_t *membership) {
    memset(membership->seen, 0, (size_t)membership->size * sizeof *membership->seen);
    membership->looks_again = true;
    if (sgp_membership_serve(membership)) sgp_inbox_call_service(membership->inbox, SGP_KIND_VIEW);
}
