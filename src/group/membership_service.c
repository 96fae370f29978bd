/* SPDX-License-Identifier: Apache-2.0 */
/* What a membership does in each look at the inbox: notices from the fates, the others' notices, and the spreading. */
#include "group/membership_internal.h"

#include "base/logging.h"

/* ---- steps ---- */

uint64_t sgp_moment_step(const sgp_moment_t *moment, uint64_t round) {
    uint64_t length = moment->local_steps ? moment->local_steps : 1;
    uint64_t exchange = moment->step + (length - 1 - moment->step % length), steps;
    if (round < moment->round) {
        uint64_t back = moment->round - round;
        return back <= exchange / length ? exchange - back * length : 0;
    }
    if (__builtin_mul_overflow(round - moment->round, length, &steps)) return SGP_MEMBER_STEPS - 1;
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
    uint64_t least = heard->push_step; /* at most one push to this node in a step */
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
    return sgp_replan_step(sgp_membership_live(membership), other > heard ? other : heard);
}

/* ---- the view has changed ---- */

static void strike_off_self(sgp_membership_t *membership, sgp_view_claim_t claim) {
    membership->struck_off = true;
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
    membership->spreads = 2 * reach;
    atomic_store(&membership->digest, digest);
    atomic_store(&membership->transport->digest, digest);
    atomic_store(&membership->version, sgp_view_version(membership->view));
    atomic_store(&membership->has_news, true);
    sgp_view_claim_t claim = sgp_view_claim(membership->view, membership->self,
                                            membership->incarnation, membership->candidate);
    if (claim != SGP_CLAIM_HOLDS && !membership->leaving && !membership->struck_off)
        strike_off_self(membership, claim);
}

/* ---- the fates of the ranks ---- */

void sgp_membership_end(sgp_membership_t *membership, int rank, sgp_member_notice_kind_t kind,
                        bool certain) {
    uint32_t incarnation = 0;
    sgp_view_member_t member;
    sgp_view_newest(membership->view, rank, &incarnation);
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

static void look_at_fate(sgp_membership_t *membership, const sgp_fate_event_t *event) {
    int rank = event->rank;
    bool doubtful =
        event->fate.cause == SGP_CAUSE_SILENT || event->fate.cause == SGP_CAUSE_UNREACHED;
    if (rank == membership->self) return;
    membership->peers[rank].silent = event->silent;
    if (event->fate.state == SGP_FATE_PRESENT)
        sgp_membership_hears(membership, rank, !event->silent);
    else if (event->fate.state == SGP_FATE_LEFT)
        sgp_membership_end(membership, rank, SGP_MEMBER_LEFT, true);
    else if (doubtful) membership->peers[rank].doubtful = true;
    else sgp_membership_end(membership, rank, SGP_MEMBER_DEAD, true);
}

void sgp_membership_note_steps(sgp_membership_t *membership) {
    uint64_t heard = atomic_load(&membership->heard);
    for (int r = 0; r < membership->size; r++) {
        uint64_t last = last_push(membership, r);
        if (last > heard && r != membership->self) heard = last;
        atomic_store(&membership->peers[r].step, last);
    }
    atomic_store(&membership->heard, heard);
}

static void look_at_fates(sgp_membership_t *membership) {
    sgp_fates_t *fates = membership->transport->fates;
    sgp_fate_event_t event;
    uint32_t events = sgp_fates_events(fates);
    if (events == membership->events) return;
    membership->events = events;
    sgp_inbox_collect(membership->inbox); /* what those have sent that are gone */
    sgp_membership_note_steps(membership);
    while (sgp_fates_next_event(fates, membership->seen, &event)) look_at_fate(membership, &event);
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

/* Whether the rank gets our view: once for each pair of its digest and ours. */
static bool is_due(const sgp_membership_t *membership, int rank, int next) {
    const sgp_peer_t *peer = &membership->peers[rank];
    const sgp_heard_t *heard = sgp_inbox_heard(membership->inbox, rank);
    uint64_t own = sgp_view_digest(membership->view);
    if (rank == membership->self || peer->silent) return false;
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
        if (present && is_due(membership, r, next)) left |= !send_view(membership, r);
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
    bool left = sgp_membership_listen(membership);
    left |= spread(membership);
    pthread_mutex_unlock(&membership->lock);
    return left;
}
