/* SPDX-License-Identifier: Apache-2.0 */
/* What the public calls tell of members: sgp_group_view, and the events of the members. */
#include "group/membership_internal.h"

#include "base/abi.h"

#include <stddef.h>

/* ---- events ---- */

static bool take_joined(sgp_membership_t *membership, sgp_event_t *event) {
    sgp_view_event_t found;
    while (sgp_view_next_event(membership->view, &found)) {
        if (found.kind != SGP_VIEW_JOINED && found.kind != SGP_VIEW_REPLACED) continue;
        *event = (sgp_event_t){.kind = SGP_EVENT_JOINED, .rank = found.seat, .step = found.step};
        return true;
    }
    return false;
}

static bool take_own(const sgp_membership_t *membership, bool *news, sgp_event_kind_t kind,
                     uint64_t step, sgp_event_t *event) {
    if (!*news) return false;
    *news = false;
    *event = (sgp_event_t){.kind = kind, .rank = membership->self, .step = step};
    return true;
}

bool sgp_membership_next_event(sgp_membership_t *membership, sgp_event_t *event) {
    sgp_membership_news_t *news = &membership->news;
    if (!atomic_load_explicit(&membership->has_news, memory_order_relaxed)) return false;
    pthread_mutex_lock(&membership->lock);
    bool found =
        take_joined(membership, event) ||
        take_own(membership, &news->paused, SGP_EVENT_PAUSED, news->paused_in, event) ||
        take_own(membership, &news->resumed, SGP_EVENT_RESUMED, news->resumed_in, event) ||
        take_own(membership, &news->replanned, SGP_EVENT_REPLANNED, news->replanned_to, event);
    if (!found) atomic_store(&membership->has_news, false);
    pthread_mutex_unlock(&membership->lock);
    return found;
}

uint64_t sgp_membership_end_step(sgp_membership_t *membership, int rank) {
    uint32_t incarnation;
    sgp_view_member_t member;
    pthread_mutex_lock(&membership->lock);
    bool known = sgp_view_newest(membership->view, rank, &incarnation) &&
                 sgp_view_member(membership->view, rank, incarnation, &member) && member.end;
    pthread_mutex_unlock(&membership->lock);
    return known ? member.until : 0;
}

/* ---- the view ---- */

static sgp_member_condition_t condition_of(const sgp_membership_t *membership,
                                           const sgp_view_member_t *member, uint64_t step) {
    if (member->end == SGP_MEMBER_LEFT) return SGP_CONDITION_LEFT;
    if (member->end == SGP_MEMBER_DEAD) return SGP_CONDITION_DEAD;
    if (member->from > step) return SGP_CONDITION_COMING;
    unsigned silence = sgp_fates_silence(membership->transport->fates, member->seat);
    return silence ? SGP_CONDITION_SILENT : SGP_CONDITION_LIVE;
}

static uint64_t heard_step(const sgp_membership_t *membership, int seat) {
    uint64_t pushed = atomic_load(&membership->peers[seat].step);
    uint64_t told = sgp_fates_pulse(membership->transport->fates, seat).step;
    return told > pushed ? told : pushed;
}

static sgp_member_t describe(const sgp_membership_t *membership, int seat, uint64_t step) {
    uint32_t incarnation = 0;
    sgp_view_member_t member;
    sgp_member_t public = {.rank = seat};
    if (!sgp_view_newest(membership->view, seat, &incarnation) ||
        !sgp_view_member(membership->view, seat, incarnation, &member))
        return public;
    public.incarnation = incarnation;
    public.from = member.from;
    public.until = member.until;
    public.condition = condition_of(membership, &member, step);
    public.step = seat == membership->self ? step : heard_step(membership, seat);
    return public;
}

/* Lock held. */
static void describe_all(sgp_membership_t *membership, sgp_members_t *view) {
    const sgp_view_t *of = membership->view;
    uint64_t step = atomic_load(&membership->step);
    *view = (sgp_members_t){.version = sgp_view_version(of),
                            .digest = sgp_view_digest(of),
                            .capacity = membership->size,
                            .rank = -1};
    for (int s = 0; s < sgp_view_seats(of); s++) {
        sgp_seat_state_t state = sgp_view_state(of, s, step, NULL);
        if (state == SGP_SEAT_ABSENT) continue;
        if (s == membership->self) view->rank = view->nodes;
        view->nodes++;
        view->live += state == SGP_SEAT_LIVE;
    }
}

/* A group that is not elastic has its founders, and their fates. */
static sgp_member_t describe_rank(const sgp_transport_t *transport, int rank) {
    sgp_fate_t fate = sgp_fates_of(transport->fates, rank);
    sgp_member_t public = {.rank = rank, .until = UINT64_MAX, .condition = SGP_CONDITION_LIVE};
    if (sgp_fates_silence(transport->fates, rank)) public.condition = SGP_CONDITION_SILENT;
    if (fate.state == SGP_FATE_LEFT) public.condition = SGP_CONDITION_LEFT;
    if (fate.state == SGP_FATE_LOST) public.condition = SGP_CONDITION_DEAD;
    return public;
}

static void describe_group(const sgp_transport_t *transport, sgp_members_t *view) {
    *view = (sgp_members_t){
        .capacity = transport->capacity, .rank = transport->rank, .nodes = transport->size};
    for (int r = 0; r < transport->size; r++)
        view->live += sgp_fates_of(transport->fates, r).state == SGP_FATE_PRESENT;
}

void sgp_membership_describe(sgp_group_t *group, sgp_member_t *members) {
    sgp_membership_t *membership = sgp_group_membership(group);
    const sgp_transport_t *transport = sgp_group_transport(group);
    if (membership) pthread_mutex_lock(&membership->lock);
    for (int s = 0; s < transport->capacity; s++)
        members[s] = membership ? describe(membership, s, atomic_load(&membership->step))
                                : describe_rank(transport, s);
    if (membership) pthread_mutex_unlock(&membership->lock);
}

#define LEAST_MEMBER  (offsetof(sgp_member_t, step) + sizeof(uint64_t))
#define LEAST_MEMBERS (offsetof(sgp_members_t, nodes) + sizeof(int))

static sgp_status_t view_group(sgp_group_t *group, sgp_members_t *theirs, size_t view_size,
                               sgp_member_t *members, size_t member_size, size_t room) {
    sgp_membership_t *membership = sgp_group_membership(group);
    sgp_transport_t *transport = sgp_group_transport(group);
    sgp_members_t view;
    sgp_status_t status = sgp_abi_check("members", view_size, LEAST_MEMBERS);
    if (status == SGP_OK) status = sgp_abi_check("member", member_size, LEAST_MEMBER);
    if (status != SGP_OK) return status;
    if (membership) pthread_mutex_lock(&membership->lock);
    if (membership) describe_all(membership, &view);
    else describe_group(transport, &view);
    for (size_t s = 0; s < room && s < (size_t)transport->capacity; s++) {
        sgp_member_t member = membership
                                  ? describe(membership, (int)s, atomic_load(&membership->step))
                                  : describe_rank(transport, (int)s);
        sgp_abi_write(&member, sizeof member, (char *)members + s * member_size, member_size);
    }
    if (membership) pthread_mutex_unlock(&membership->lock);
    sgp_abi_write(&view, sizeof view, theirs, view_size);
    return SGP_OK;
}

sgp_status_t sgp_group_view_sized(sgp_group_t *group, sgp_members_t *view, size_t view_size,
                                  sgp_member_t *members, size_t member_size, size_t room) {
    const sgp_log_sink_t *before = sgp_api_begin(sgp_group_sink(group));
    return sgp_api_end(before, view_group(group, view, view_size, members, member_size, room));
}

const sgp_membership_ops_t sgp_membership_ops = {
    .next_event = sgp_membership_next_event,
    .end_step = sgp_membership_end_step,
    .destroy = sgp_membership_destroy,
};
