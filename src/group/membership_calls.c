/* SPDX-License-Identifier: Apache-2.0 */
#include "group/membership_internal.h"

#include "base/constants.h"
#include "base/logging.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- making ---- */

/* Of a VIEW message: as much as two notices of every seat need, within bounds. */
static size_t message_room(int size) {
    size_t room = SGP_VIEW_LEAST_ROOM + 2 * (size_t)size * SGP_MEMBER_NOTICE_BYTES;
    return room < SGP_VIEW_MOST_BYTES ? room : SGP_VIEW_MOST_BYTES;
}

static sgp_status_t allocate(sgp_membership_t *membership) {
    size_t size = (size_t)membership->size, room = message_room(membership->size);
    membership->message = malloc(room);
    membership->seen = calloc(size, sizeof *membership->seen);
    membership->peers = calloc(size, sizeof *membership->peers);
    if (!membership->message || !membership->seen || !membership->peers)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a group of %zu members", size);
    sgp_status_t status =
        sgp_view_create(membership->size, membership->transport->size, &membership->view);
    if (status != SGP_OK) return status;
    status = sgp_post_init(&membership->views, membership->group, SGP_KIND_VIEW, room);
    if (status != SGP_OK) return status;
    return sgp_post_init(&membership->questions, membership->group, SGP_KIND_HEARD,
                         SGP_HEARD_BYTES);
}

sgp_status_t sgp_membership_create(sgp_group_t *group, sgp_membership_t **membership) {
    sgp_membership_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the members of a group");
    made->group = group;
    made->transport = sgp_group_transport(group);
    made->inbox = sgp_group_inbox(group);
    made->size = made->transport->capacity;
    made->self = made->transport->rank;
    pthread_mutex_init(&made->lock, NULL);
    sgp_random_init(&made->random, made->transport->run, (uint64_t)made->self);
    sgp_membership_configure(made, &(sgp_membership_options_t){0});
    sgp_status_t status = allocate(made);
    if (status != SGP_OK) {
        sgp_membership_destroy(made);
        return status;
    }
    sgp_inbox_set_service(made->inbox, SGP_KIND_VIEW, sgp_membership_serve, made);
    sgp_inbox_set_service(made->inbox, SGP_KIND_HEARD, sgp_membership_serve, made);
    made->transport->confirms = made->transport->ops->give_up != NULL;
    *membership = made;
    return SGP_OK;
}

void sgp_membership_destroy(sgp_membership_t *membership) {
    if (!membership) return;
    sgp_post_fini(&membership->views);
    sgp_post_fini(&membership->questions);
    sgp_view_destroy(membership->view);
    pthread_mutex_destroy(&membership->lock);
    free(membership->message);
    free(membership->seen);
    free(membership->peers);
    free(membership);
}

void sgp_membership_configure(sgp_membership_t *membership,
                              const sgp_membership_options_t *options) {
    membership->options = *options;
    if (options->quorum == 0) membership->options.quorum = SGP_QUORUM;
    if (options->pause_ns == 0) membership->options.pause_ns = 60000 * SGP_MILLISECOND;
    if (options->dead_ns == 0) membership->options.dead_ns = 10000 * SGP_MILLISECOND;
    if (options->dead_together_ns == 0)
        membership->options.dead_together_ns = 1000 * SGP_MILLISECOND;
}

void sgp_membership_set_quorum(sgp_membership_t *membership, double quorum, uint64_t pause_ns) {
    pthread_mutex_lock(&membership->lock);
    membership->options.quorum = quorum;
    membership->options.pause_ns = pause_ns;
    membership->told_by_owner = true;
    pthread_mutex_unlock(&membership->lock);
}

/* ---- steps ---- */

/* The others hear of a change from this node's edges; a member at random hears of it in each step of the next few, because a
 * hole can cut a graph. */
static void choose_at_random(sgp_membership_t *membership) {
    if (atomic_load_explicit(&membership->spreads, memory_order_relaxed) == 0) return;
    atomic_fetch_sub(&membership->spreads, 1);
    int rank = (int)sgp_random_below(&membership->random, (uint64_t)membership->size);
    if (rank == membership->self) return;
    membership->peers[rank].chosen = true;
    sgp_inbox_call_service(membership->inbox, SGP_KIND_VIEW);
}

/* The look before a sleep, or one of the other context, can end the pause, and wakes nobody: so no sleep is longer. */
#define PAUSED_SLEEP (50 * SGP_MILLISECOND)

sgp_status_t sgp_membership_await_quorum(sgp_membership_t *membership) {
    sgp_status_t status = SGP_OK;
    if (!membership->paused) return status;
    atomic_store(&membership->at_step, true);
    while (status == SGP_OK && membership->paused) {
        uint64_t since = sgp_inbox_taken_in(membership->inbox);
        sgp_inbox_collect(membership->inbox);
        if (!membership->paused) break;
        uint64_t until = sgp_transport_now(membership->transport) + PAUSED_SLEEP;
        sgp_inbox_want(membership->inbox, SGP_FLIGHT_FOR_QUORUM, -1, 0);
        status = sgp_inbox_doze(membership->inbox, since, until, "the other nodes");
    }
    atomic_store(&membership->at_step, false);
    return status;
}

bool sgp_membership_pause(sgp_membership_t *membership, sgp_pause_t *pause) {
    uint64_t since = atomic_load_explicit(&membership->paused, memory_order_acquire);
    if (!since) return false;
    pthread_mutex_lock(&membership->lock);
    uint64_t now = sgp_transport_now(membership->transport);
    *pause = (sgp_pause_t){.between = membership->at_step || membership->in_collective > 0,
                           .here = membership->heard_of,
                           .plan = membership->counted,
                           .seconds = (double)(now - since) / SGP_SECOND,
                           .most = (double)membership->options.pause_ns / SGP_SECOND};
    pthread_mutex_unlock(&membership->lock);
    return true;
}

/* A number that stands for the members of a plan. */
static uint64_t hash_plan(const sgp_view_t *view, uint64_t step, int *nodes) {
    uint64_t hash = 0;
    *nodes = 0;
    for (int s = 0; s < sgp_view_seats(view); s++) {
        uint32_t incarnation;
        if (sgp_view_state(view, s, step, &incarnation) == SGP_SEAT_ABSENT) continue;
        hash = (hash ^ ((uint64_t)s << 32 | incarnation)) * 0x9e3779b97f4a7c15u + 1;
        ++*nodes;
    }
    return hash;
}

/* At the first step, and where the view has changed or a step is reached that it names. */
static void look_at_plan(sgp_membership_t *membership, uint64_t step) {
    int nodes;
    pthread_mutex_lock(&membership->lock);
    uint64_t hash = hash_plan(membership->view, step, &nodes);
    bool first = membership->plan_until == 0;
    bool changed = !first && hash != membership->plan_hash;
    membership->plan_hash = hash;
    membership->plan_version = sgp_view_version(membership->view);
    membership->plan_until = sgp_view_next_change(membership->view, step);
    if (changed) {
        membership->news.replanned = true;
        membership->news.replanned_to = step;
        atomic_store(&membership->has_news, true);
    }
    pthread_mutex_unlock(&membership->lock);
    if (changed)
        sgp_log(SGP_LOG_INFO, "from step %" PRIu64 " on the graph is that of %d nodes", step,
                nodes);
}

static bool has_new_plan(const sgp_membership_t *membership, uint64_t step) {
    return step >= membership->plan_until ||
           sgp_membership_version(membership) != membership->plan_version;
}

sgp_status_t sgp_membership_begin_step(sgp_membership_t *membership, const sgp_moment_t *moment) {
    const sgp_moment_t *last = &membership->moment;
    bool leads =
        !membership->begun || last->channel == moment->channel || moment->step > last->step;
    if (leads) { /* of several mixers the one that is ahead, so that no plan begins behind any of them */
        membership->moment = *moment;
        bool enters = !membership->begun && membership->candidate;
        membership->begun = true;
        atomic_store_explicit(&membership->step, moment->step, memory_order_relaxed);
        atomic_store_explicit(&membership->local_steps, moment->local_steps, memory_order_relaxed);
        if (enters) sgp_membership_look_again(membership);
        choose_at_random(membership);
        if (moment->step % SGP_MEMBER_STEP_UNIT == 0) sgp_membership_note_steps(membership);
        if (has_new_plan(membership, moment->step)) look_at_plan(membership, moment->step);
    }
    if (atomic_load_explicit(&membership->told, memory_order_relaxed) || membership->opening)
        sgp_inbox_call_service(membership->inbox, SGP_KIND_VIEW);
    if (membership->paused) return sgp_membership_await_quorum(membership);
    return sgp_inbox_ended(membership->inbox);
}

void sgp_membership_in_collective(sgp_membership_t *membership, bool inside) {
    if (!membership) return;
    membership->in_collective += inside ? 1 : -1;
    if (!inside) return;
    sgp_transport_rest(membership->transport);
    sgp_inbox_call_service(membership->inbox, SGP_KIND_VIEW);
}

void sgp_membership_awaits_all(sgp_membership_t *membership, bool inside) {
    if (!membership) return;
    membership->in_collective += inside ? 1 : -1;
    if (inside && sgp_fates_silent_ranks(membership->transport->fates) > 0)
        sgp_inbox_call_service(membership->inbox, SGP_KIND_VIEW);
}

sgp_status_t sgp_membership_standing(sgp_membership_t *membership) {
    return sgp_inbox_ended(membership->inbox);
}

bool sgp_membership_is_struck_off(sgp_membership_t *membership) {
    sgp_transport_look_at_self(membership->transport);
    pthread_mutex_lock(&membership->lock);
    bool struck_off = membership->struck_off;
    pthread_mutex_unlock(&membership->lock);
    sgp_fates_t *fates = membership->transport->fates; /* it may have noticed that first */
    return struck_off || sgp_fates_of(fates, membership->self).state == SGP_FATE_LOST;
}

sgp_status_t sgp_membership_check_self(sgp_membership_t *membership) {
    if (!membership || !sgp_membership_is_struck_off(membership)) return SGP_OK;
    return sgp_fail(SGP_ERR_PEER_LOST,
                    "the others take this node (seat %d) for dead, and go on without it",
                    membership->self);
}

bool sgp_membership_is_replaced(sgp_membership_t *membership) {
    pthread_mutex_lock(&membership->lock);
    sgp_view_claim_t claim = sgp_view_claim(membership->view, membership->self,
                                            membership->incarnation, membership->candidate);
    pthread_mutex_unlock(&membership->lock);
    return claim == SGP_CLAIM_REPLACED;
}

/* ---- the view ---- */

uint64_t sgp_membership_version(const sgp_membership_t *membership) {
    return atomic_load_explicit(&membership->version, memory_order_acquire);
}

uint64_t sgp_membership_digest(const sgp_membership_t *membership) {
    return atomic_load_explicit(&membership->digest, memory_order_acquire);
}

int sgp_membership_capacity(const sgp_membership_t *membership) {
    return membership->size;
}

int sgp_membership_plan(sgp_membership_t *membership, uint64_t step, int *seats, uint64_t *until) {
    pthread_mutex_lock(&membership->lock);
    int count = sgp_view_plan(membership->view, step, seats);
    *until = sgp_view_next_change(membership->view, step);
    pthread_mutex_unlock(&membership->lock);
    return count;
}

sgp_seat_state_t sgp_membership_state(sgp_membership_t *membership, int seat, uint64_t step) {
    pthread_mutex_lock(&membership->lock);
    sgp_seat_state_t state = sgp_view_state(membership->view, seat, step, NULL);
    pthread_mutex_unlock(&membership->lock);
    return state;
}

/* ---- changes ---- */

static size_t changes_of_member(const sgp_view_member_t *member, sgp_change_t *changes) {
    sgp_change_t change = {
        .seat = member->seat, .incarnation = member->incarnation, .candidate = member->candidate};
    size_t count = 0;
    if (member->candidate) {
        change.kind = SGP_CHANGE_JOIN;
        change.step = member->from;
        changes[count++] = change;
    }
    if (member->end) {
        change.kind = member->end == SGP_MEMBER_LEFT ? SGP_CHANGE_LEFT : SGP_CHANGE_DEAD;
        change.step = member->until;
        change.last = member->last;
        change.pushed = member->last > 0;
        changes[count++] = change;
    }
    return count;
}

static size_t changes_of_seat(const sgp_view_t *view, int seat, uint64_t since,
                              sgp_change_t *changes) {
    uint32_t newest;
    size_t count = 0;
    if (!sgp_view_newest(view, seat, &newest)) return 0;
    uint32_t first = newest < SGP_VIEW_INCARNATIONS ? 0 : newest - SGP_VIEW_INCARNATIONS + 1;
    /* Counted down: newest may be the last number there is. */
    for (uint32_t age = newest - first + 1; age-- > 0;) {
        sgp_view_member_t member;
        if (sgp_view_member(view, seat, newest - age, &member) && member.version > since)
            count += changes_of_member(&member, changes + count);
    }
    return count;
}

size_t sgp_membership_changes(sgp_membership_t *membership, sgp_change_reader_t *reader,
                              sgp_change_t *changes, size_t room) {
    size_t count = 0;
    pthread_mutex_lock(&membership->lock);
    const sgp_view_t *view = membership->view;
    if (reader->seat == 0) reader->until = sgp_view_version(view);
    while (reader->version < reader->until && count + SGP_CHANGES_OF_A_SEAT <= room) {
        count += changes_of_seat(view, reader->seat++, reader->version, changes + count);
        if (reader->seat < sgp_view_seats(view)) continue;
        reader->version = reader->until;
        reader->seat = 0;
    }
    pthread_mutex_unlock(&membership->lock);
    return count;
}

/* ---- notices from elsewhere ---- */

static sgp_status_t merge(sgp_membership_t *membership, const sgp_member_notice_t *notice) {
    const char *reason = sgp_view_check(membership->view, notice);
    if (reason)
        return sgp_fail(SGP_ERR_INVALID, "a notice about seat %d: %s", notice->seat, reason);
    if (sgp_view_merge(membership->view, notice)) sgp_membership_changed(membership);
    return SGP_OK;
}

sgp_status_t sgp_membership_tell(sgp_membership_t *membership, const sgp_member_notice_t *notice) {
    pthread_mutex_lock(&membership->lock);
    sgp_status_t status = merge(membership, notice);
    pthread_mutex_unlock(&membership->lock);
    atomic_store(&membership->told, true);
    return status;
}

uint64_t sgp_membership_next_plan(sgp_membership_t *membership) {
    pthread_mutex_lock(&membership->lock);
    uint64_t step = sgp_membership_replan(membership);
    pthread_mutex_unlock(&membership->lock);
    return step;
}

size_t sgp_membership_encode(sgp_membership_t *membership, sgp_view_cursor_t *cursor,
                             unsigned char *bytes, size_t room) {
    pthread_mutex_lock(&membership->lock);
    size_t count = sgp_view_encode(membership->view, 0, cursor, bytes, room);
    pthread_mutex_unlock(&membership->lock);
    return count;
}

sgp_status_t sgp_membership_decode(sgp_membership_t *membership, const unsigned char *bytes,
                                   size_t size, const char **reason) {
    unsigned flags;
    bool news = false;
    pthread_mutex_lock(&membership->lock);
    sgp_status_t status = sgp_view_decode(membership->view, bytes, size, &flags, &news, reason);
    if (news) sgp_membership_changed(membership);
    pthread_mutex_unlock(&membership->lock);
    atomic_store(&membership->told, true);
    return status;
}

void sgp_membership_set_self(sgp_membership_t *membership, uint32_t incarnation,
                             uint64_t candidate) {
    pthread_mutex_lock(&membership->lock);
    membership->incarnation = incarnation;
    membership->candidate = candidate;
    pthread_mutex_unlock(&membership->lock);
}

void sgp_membership_open_seat(sgp_membership_t *membership, int seat) {
    pthread_mutex_lock(&membership->lock);
    membership->peers[seat] = (sgp_peer_t){.silent = false};
    sgp_post_restart(&membership->views, seat);
    sgp_post_restart(&membership->questions, seat);
    pthread_mutex_unlock(&membership->lock);
}

sgp_status_t sgp_membership_enter(sgp_membership_t *membership, uint64_t step) {
    sgp_member_notice_t notice = {.kind = SGP_MEMBER_JOIN,
                                  .seat = membership->self,
                                  .incarnation = membership->incarnation,
                                  .step = step,
                                  .candidate = membership->candidate,
                                  .origin = membership->self};
    atomic_store(&membership->step, step);
    return sgp_membership_tell(membership, &notice);
}

/* ---- leaving ---- */

static sgp_status_t tell_left(sgp_membership_t *membership, uint64_t *step) {
    pthread_mutex_lock(&membership->lock);
    *step = sgp_membership_replan(membership);
    sgp_member_notice_t notice = {.kind = SGP_MEMBER_LEFT,
                                  .seat = membership->self,
                                  .incarnation = membership->incarnation,
                                  .step = *step,
                                  .last = atomic_load(&membership->step),
                                  .origin = membership->self};
    membership->leaving = true;
    sgp_status_t status = merge(membership, &notice);
    for (int r = 0; r < membership->size; r++) membership->peers[r].chosen = r != membership->self;
    pthread_mutex_unlock(&membership->lock);
    return status;
}

sgp_status_t sgp_membership_leave(sgp_membership_t *membership, uint64_t deadline, uint64_t *step) {
    sgp_status_t status = tell_left(membership, step);
    while (status == SGP_OK && sgp_membership_serve(membership))
        status = sgp_inbox_wait(membership->inbox, sgp_inbox_taken_in(membership->inbox), deadline,
                                "room to say that this node leaves");
    return status;
}
