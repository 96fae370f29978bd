/* SPDX-License-Identifier: Apache-2.0 */
#include "group/group_internal.h"

#include "base/abi.h"
#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"
#include "group/flight_watch.h"
#include "group/join/origin.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 600000

struct sgp_group {
    sgp_transport_t *transport;
    sgp_inbox_t *inbox;
    sgp_destination_t *others; /* (size - 1) all ranks but ours */
    _Atomic uint64_t timeout;  /* nanoseconds; a progress thread reads it between two changes */
    uint64_t sequence;         /* of collective calls: the step of their messages */
    uint32_t channels;         /* given out */
    sgp_lease_t lease;
    sgp_agreement_t agreement;
    sgp_meeting_t *meetings;      /* the first one; theirs */
    sgp_membership_t *membership; /* owned, or NULL */
    const sgp_membership_ops_t *membership_ops;
    sgp_newcomers_state_t *newcomers; /* owned, or NULL */
    void (*destroy_newcomers)(sgp_newcomers_state_t *newcomers);
    sgp_group_status_t *status; /* owned, or NULL */
    const sgp_group_status_ops_t *status_ops;
    sgp_origin_t *origin; /* owned, or NULL */
    char *loss_file;      /* owned, or NULL */
    bool *participants;   /* (capacity) in the last barrier or gather */
    uint32_t *seen;       /* (capacity) events taken (sgp_fates_next_event) */
    uint32_t events;      /* all of these have been looked at */
    sgp_call_t *call;     /* the public call that runs, or was left in the middle */
    bool owns_call;       /* a group that was split off shares that of the whole */
    sgp_group_t *sharing; /* the next one of a circle: the groups of that call */
    bool has_descriptor;
    sgp_log_sink_t *sink; /* options.log; NULL: none. Owned where the call is */
    sgp_flight_source_t flight;
};

/* A simulated cluster has none: its times are not the machine's. */
static sgp_status_t make_recorder(sgp_group_t *group) {
    sgp_transport_t *transport = group->transport;
    group->flight.transport = transport;
    return transport->virtual_time ? SGP_OK
                                   : sgp_flight_create(transport->capacity, &transport->flight);
}

static void destroy_recorder(sgp_group_t *group) {
    sgp_flight_destroy(group->transport->flight);
    group->transport->flight = NULL;
}

sgp_status_t sgp_group_create(sgp_transport_t *transport, int timeout_ms, sgp_group_t **group) {
    sgp_group_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a group");
    made->transport = transport;
    made->sharing = made;
    made->timeout = (uint64_t)(timeout_ms > 0 ? timeout_ms : DEFAULT_TIMEOUT_MS) * SGP_MILLISECOND;
    size_t capacity = (size_t)transport->capacity;
    made->others = calloc(capacity, sizeof *made->others);
    made->seen = calloc(capacity, sizeof *made->seen);
    made->participants = calloc(capacity, sizeof *made->participants);
    sgp_status_t status =
        made->others && made->seen && made->participants
            ? make_recorder(made)
            : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a group of %d", transport->size);
    if (status == SGP_OK) status = sgp_inbox_create(transport, &made->inbox);
    /* Two collective calls can overlap: a fast node is in the next one while a slow one is in
     * this. */
    if (status == SGP_OK) status = sgp_transport_prepare(transport, SGP_GATHER_BYTES, 4);
    made->owns_call = true;
    if (status == SGP_OK && !transport->one_thread) {
        made->call = sgp_call_create();
        if (!made->call)
            status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the stack of a group's calls");
    }
    if (status != SGP_OK) {
        sgp_inbox_destroy(made->inbox);
        destroy_recorder(made);
        free(made->others);
        free(made->seen);
        free(made->participants);
        free(made);
        return status;
    }
    for (int r = 0; r < transport->capacity; r++)
        made->participants[r] = sgp_fates_of(transport->fates, r).state != SGP_FATE_ABSENT;
    for (int r = 0, i = 0; r < transport->size; r++)
        if (r != transport->rank) made->others[i++] = (sgp_destination_t){.dst = r, .weight = 1};
    if (transport->flight) sgp_flight_watch_add(&made->flight);
    *group = made;
    return SGP_OK;
}

bool sgp_group_took_part(const sgp_group_t *group, int rank) {
    return group->participants[rank];
}
bool *sgp_group_participants(sgp_group_t *group) {
    return group->participants;
}

sgp_transport_t *sgp_group_transport(sgp_group_t *group) {
    return group->transport;
}
sgp_inbox_t *sgp_group_inbox(sgp_group_t *group) {
    return group->inbox;
}
uint32_t sgp_group_new_channel(sgp_group_t *group) {
    sgp_inbox_open_channel(group->inbox, ++group->channels);
    return group->channels;
}
uint64_t sgp_group_timeout(const sgp_group_t *group) {
    return group->timeout;
}
void sgp_group_set_timeout(sgp_group_t *group, uint64_t timeout) {
    group->timeout = timeout;
}
void sgp_group_set_lease(sgp_group_t *group, const sgp_lease_t *lease) {
    group->lease = lease ? *lease : (sgp_lease_t){.owner = NULL};
}
bool sgp_group_has_lease(const sgp_group_t *group) {
    return group->lease.owner != NULL;
}
void *sgp_group_lease_owner(const sgp_group_t *group) {
    return group->lease.owner;
}
sgp_status_t sgp_group_take(sgp_group_t *group, const void *owner, bool *taken) {
    return sgp_lease_take(&group->lease, owner, taken);
}
void sgp_group_give(sgp_group_t *group) {
    sgp_lease_give(&group->lease);
}
void sgp_group_serve(sgp_group_t *group) {
    sgp_lease_serve(&group->lease);
}
uint64_t sgp_group_next_sequence(sgp_group_t *group) {
    return ++group->sequence;
}
uint64_t sgp_group_sequence(const sgp_group_t *group) {
    return group->sequence;
}
void sgp_group_set_sequence(sgp_group_t *group, uint64_t sequence) {
    group->sequence = sequence;
}
sgp_newcomers_state_t *sgp_group_newcomers(const sgp_group_t *group) {
    return group->newcomers;
}
void sgp_group_set_newcomers(sgp_group_t *group, sgp_newcomers_state_t *newcomers,
                             void (*destroy)(sgp_newcomers_state_t *newcomers)) {
    group->newcomers = newcomers;
    group->destroy_newcomers = destroy;
}
const sgp_destination_t *sgp_group_others(const sgp_group_t *group) {
    return group->others;
}
void sgp_group_set_agreement(sgp_group_t *group, const sgp_agreement_t *agreement) {
    group->agreement = *agreement;
}
sgp_agree_call_t *sgp_group_agreement(const sgp_group_t *group) {
    return group->agreement.call;
}
void sgp_group_add_meeting(sgp_group_t *group, sgp_meeting_t *meeting) {
    sgp_meeting_t **end = &group->meetings;
    while (*end) end = &(*end)->next;
    meeting->next = NULL;
    *end = meeting;
}
void sgp_group_take_meeting_out(sgp_group_t *group, sgp_meeting_t *meeting) {
    sgp_meeting_t **at = &group->meetings;
    while (*at && *at != meeting) at = &(*at)->next;
    if (*at) *at = meeting->next;
}
sgp_status_t sgp_group_meet(sgp_group_t *group) {
    sgp_status_t status = SGP_OK;
    for (sgp_meeting_t *at = group->meetings; at && status == SGP_OK; at = at->next)
        status = at->meet(at->context);
    return status;
}
sgp_membership_t *sgp_group_membership(const sgp_group_t *group) {
    return group->membership;
}
void sgp_group_set_membership(sgp_group_t *group, sgp_membership_t *membership,
                              const sgp_membership_ops_t *ops) {
    group->membership = membership;
    group->membership_ops = ops;
}
sgp_group_status_t *sgp_group_status(const sgp_group_t *group) {
    return group->status;
}
void sgp_group_set_status(sgp_group_t *group, sgp_group_status_t *status,
                          const sgp_group_status_ops_t *ops) {
    group->status = status;
    group->status_ops = ops;
}
const sgp_origin_t *sgp_group_origin(const sgp_group_t *group) {
    return group->origin;
}
void sgp_group_set_origin(sgp_group_t *group, sgp_origin_t *origin) {
    group->origin = origin;
}
const char *sgp_group_loss_file(const sgp_group_t *group) {
    return group->loss_file;
}
void sgp_group_set_sink(sgp_group_t *group, sgp_log_sink_t *sink) {
    group->sink = sink;
}

const sgp_log_sink_t *sgp_group_sink(const sgp_group_t *group) {
    return group->sink;
}

void sgp_group_share_call(sgp_group_t *part, sgp_group_t *whole) {
    sgp_call_destroy(part->call);
    part->sharing = whole->sharing;
    whole->sharing = part;
    part->call = whole->call;
    part->sink = whole->sink;
    part->owns_call = false;
}

/* Later arrivals make the descriptors of all groups readable in which the call may wait. */
static void rearm(sgp_group_t *group) {
    sgp_group_t *each = group;
    do {
        if (each->has_descriptor && each->transport->ops->rearm)
            each->transport->ops->rearm(each->transport);
        each = each->sharing;
    } while (each != group);
}

sgp_status_t sgp_group_run(sgp_group_t *group, const char *name, sgp_call_body_fn body,
                           const void *argument, size_t size) {
    if (sgp_call_inside()) return sgp_call_run(group->call, name, body, argument, size);
    const sgp_log_sink_t *before = sgp_api_begin(group->sink);
    char reason[SGP_CALL_REASON];
    rearm(group);
    if (!sgp_call_may_run(group->call, body, reason))
        return sgp_api_end(before, sgp_fail(SGP_ERR_INVALID, "%s: %s", name, reason));
    if (!sgp_call_left(group->call)) sgp_flight_call(group->transport->flight, name);
    sgp_status_t status = sgp_call_run(group->call, name, body, argument, size);
    if (!sgp_call_left(group->call)) sgp_flight_return(group->transport->flight, name, status);
    if (status != SGP_OK) sgp_flight_watch_failed(&group->flight, status);
    return sgp_api_end(before, status);
}

void sgp_group_failed(sgp_group_t *group, sgp_status_t status) {
    sgp_flight_watch_failed(&group->flight, status);
}

void sgp_group_cancel(sgp_group_t *group) {
    const sgp_log_sink_t *before = sgp_api_begin(group->sink);
    sgp_call_cancel(group->call);
    sgp_api_end(before, SGP_OK);
}

void sgp_group_set_slice(sgp_group_t *group, int milliseconds) {
    sgp_call_set_slice(group->call,
                       milliseconds > 0 ? (uint64_t)milliseconds * SGP_MILLISECOND : 0);
}

void sgp_group_interrupt(sgp_group_t *group) {
    sgp_call_interrupt(group->call);
}

int sgp_group_rank(const sgp_group_t *group) {
    return group->transport->rank;
}
int sgp_group_size(const sgp_group_t *group) {
    return group->transport->size;
}
int sgp_group_capacity(const sgp_group_t *group) {
    return group->transport->capacity;
}
int sgp_group_lost_peer(const sgp_group_t *group) {
    return sgp_transport_lost_peer(group->transport);
}

/* ---- events ---- */

/* Of version 1.0. */
#define LEAST_EVENT (offsetof(sgp_event_t, reason) + sizeof((sgp_event_t *)0)->reason)

static sgp_event_t event_of(const sgp_group_t *group, const sgp_fate_event_t *found) {
    sgp_event_t event = {.rank = found->rank,
                         .age = (double)(sgp_clock_now() - found->noticed) / 1e9};
    if (found->fate.state == SGP_FATE_LOST) event.kind = SGP_EVENT_LOST;
    else if (found->fate.state == SGP_FATE_LEFT) event.kind = SGP_EVENT_LEFT;
    else event.kind = found->silent ? SGP_EVENT_SILENT : SGP_EVENT_BACK;
    if (group->membership && found->fate.state != SGP_FATE_PRESENT)
        event.step = group->membership_ops->end_step(group->membership, found->rank);
    if (event.kind == SGP_EVENT_LOST) snprintf(event.reason, sizeof event.reason, "%s", found->why);
    return event;
}

/* false: the transport has none. */
static bool next_fate(sgp_group_t *group, sgp_event_t *event) {
    sgp_fates_t *fates = group->transport->fates;
    sgp_fate_event_t found;
    uint32_t events = sgp_fates_events(fates);
    if (events == group->events) return false;
    do {
        if (sgp_fates_next_event(fates, group->seen, &found)) continue;
        group->events = events;
        return false;
    } while (found.opened); /* that a seat was opened is this node's own doing */
    *event = event_of(group, &found);
    return true;
}

static sgp_status_t next_event(sgp_group_t *group, sgp_event_t *theirs, size_t size) {
    sgp_event_t event;
    sgp_status_t status = sgp_abi_check("event", size, LEAST_EVENT);
    if (status != SGP_OK) return status;
    bool found =
        next_fate(group, &event) ||
        (group->membership && group->membership_ops->next_event(group->membership, &event));
    if (!found) return SGP_ERR_AGAIN;
    sgp_abi_write(&event, sizeof event, theirs, size);
    return SGP_OK;
}

sgp_status_t sgp_group_next_event_sized(sgp_group_t *group, sgp_event_t *event, size_t size) {
    const sgp_log_sink_t *before = sgp_api_begin(group->sink);
    if (!sgp_call_left(group->call)) rearm(group); /* else that call has to look, too */
    return sgp_api_end(before, next_event(group, event, size));
}

int sgp_group_descriptor(sgp_group_t *group) {
    sgp_transport_t *transport = group->transport;
    const sgp_log_sink_t *before = sgp_api_begin(group->sink);
    int descriptor = -1;
    sgp_status_t status = SGP_ERR_UNSUPPORTED;
    if (transport->ops->descriptor) {
        descriptor = transport->ops->descriptor(transport);
        status = descriptor < 0 ? SGP_ERR_NO_MEMORY : SGP_OK;
        group->has_descriptor = descriptor >= 0;
    } else sgp_fail(status, "group: the transport %s has no descriptor", transport->ops->name);
    sgp_api_end(before, status);
    return descriptor;
}

/* ---- the first loss, for the launcher ---- */

static int process_of(const sgp_transport_t *transport, int rank) {
    const sgp_ranks_t *ranks = &transport->ranks;
    return ranks->workers > 1 ? ranks->first + rank * ranks->stride : rank;
}

/* Best effort: without the record the launcher judges by exit statuses alone. */
static void record_loss(void *context, int rank) {
    const sgp_group_t *group = context;
    uint32_t word = (uint32_t)process_of(group->transport, rank) + 1;
    int own = process_of(group->transport, group->transport->rank);
    int file = open(group->loss_file, O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    (void)!pwrite(file, &word, sizeof word, (off_t)own * (off_t)sizeof word);
    close(file);
}

void sgp_group_tell_losses(sgp_group_t *group, const char *file) {
    group->loss_file = file ? strdup(file) : NULL;
    if (group->loss_file) sgp_fates_on_loss(group->transport->fates, record_loss, group);
}

/* ---- the end ---- */

static void destroy(sgp_group_t *group) {
    sgp_group_t *before = group;
    while (before->sharing != group) before = before->sharing;
    before->sharing = group->sharing;
    if (group->status) group->status_ops->destroy(group->status);
    sgp_flight_watch_remove(&group->flight);
    if (group->newcomers) group->destroy_newcomers(group->newcomers);
    if (group->agreement.call) group->agreement.destroy(group->agreement.call);
    if (group->membership) group->membership_ops->destroy(group->membership);
    sgp_flight_t *flight = group->transport ? group->transport->flight : NULL;
    sgp_transport_destroy(group->transport);
    sgp_flight_destroy(flight);
    if (group->owns_call) {
        sgp_call_destroy(group->call);
        free(group->sink);
    }
    sgp_origin_destroy(group->origin);
    free(group->loss_file);
    free(group->others);
    free(group->seen);
    free(group->participants);
    free(group);
}

static void stop_status(sgp_group_t *group) {
    if (group->status) group->status_ops->stop(group->status);
}

void sgp_group_undo(sgp_group_t *group) {
    stop_status(group);
    sgp_inbox_destroy(group->inbox);
    sgp_flight_watch_remove(&group->flight);
    destroy_recorder(group);
    group->transport = NULL;
    destroy(group);
}

void sgp_group_leave(sgp_group_t *group) {
    if (!group) return;
    sgp_group_cancel(group);
    const sgp_log_sink_t *before = sgp_api_begin(group->sink);
    stop_status(group);
    if (group->agreement.call) group->agreement.leave(group->agreement.call);
    uint64_t now = sgp_transport_now(group->transport);
    sgp_inbox_destroy(group->inbox);
    sgp_transport_leave(group->transport, now + group->timeout);
    destroy(group);
    sgp_api_end(before, SGP_OK);
}

/* A rank that ends without leaving is lost to the others (transport.h). */
void sgp_group_abort(sgp_group_t *group) {
    if (!group) return;
    sgp_group_cancel(group);
    const sgp_log_sink_t *before = sgp_api_begin(group->sink);
    stop_status(group);
    sgp_inbox_destroy(group->inbox);
    sgp_transport_abort(group->transport);
    destroy(group);
    sgp_api_end(before, SGP_OK);
}
