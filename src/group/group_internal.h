/* SPDX-License-Identifier: Apache-2.0 */
/* src/group is the set of ranks that train together: a transport with an inbox, collective calls,
 * notices, the lease of the transport, the view of its members, and groups within a group. The
 * mixing, the run and the program call it; src/group/join makes it. It reaches other ranks through
 * its transport alone: nothing here names a socket or an address.
 *
 * This header: the group as its callers inside the library see it. */
#ifndef SGP_GROUP_GROUP_INTERNAL_H
#define SGP_GROUP_GROUP_INTERNAL_H

#include "group/lease.h"
#include "transport/inbox.h"

#include "base/call.h"
#include "base/logging.h"

#include <sgp/group.h>

/* A group over a connected transport, which it takes on success: sgp_group_leave and
 * sgp_group_abort destroy it. timeout_ms: of a collective call; 0: the default.
 * SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_group_create(sgp_transport_t *transport, int timeout_ms, sgp_group_t **group);

/* Of a new group, instead of leaving it: the transport is the caller's again. */
void sgp_group_undo(sgp_group_t *group);

/* Takes a sink (malloc) for the lines of the group's calls; the group frees it. */
void sgp_group_set_sink(sgp_group_t *group, sgp_log_sink_t *sink);

/* Where they go; NULL: to the process's log. */
const sgp_log_sink_t *sgp_group_sink(const sgp_group_t *group);

/* For groups that are split off and used by the same caller: one call at a time in both. The whole outlives the part. */
void sgp_group_share_call(sgp_group_t *part, sgp_group_t *whole);

/* Runs a public function's body as the group's call, with the group's log (base/call.h). */
sgp_status_t sgp_group_run(sgp_group_t *group, const char *name, sgp_call_body_fn body,
                           const void *argument, size_t size);

/* Ends a call that was left in the middle. */
void sgp_group_cancel(sgp_group_t *group);

sgp_transport_t *sgp_group_transport(sgp_group_t *group);
sgp_inbox_t *sgp_group_inbox(sgp_group_t *group);

/* A number for a mixer's messages: the same on every node as long as all create their mixers in the
 * same order. */
uint32_t sgp_group_new_channel(sgp_group_t *group);

/* The time limit of a collective call, in nanoseconds. */
uint64_t sgp_group_timeout(const sgp_group_t *group);

/* From the next collective call on; nanoseconds, > 0. */
void sgp_group_set_timeout(sgp_group_t *group, uint64_t timeout);

/* ---- collective calls (collective.c) ---- */

/* The next step of the group's own messages; all ranks count alike. */
uint64_t sgp_group_next_sequence(sgp_group_t *group);

/* So many there were so far; a newcomer takes over the others' count. */
uint64_t sgp_group_sequence(const sgp_group_t *group);
void sgp_group_set_sequence(sgp_group_t *group, uint64_t sequence);

/* (size - 1) every founder but this one, each of weight 1. */
const sgp_destination_t *sgp_group_others(const sgp_group_t *group);

/* ---- an elastic group (agree_call.h) ---- */

typedef struct sgp_agree_call sgp_agree_call_t;

/* The state of its calls of agree, in the group's care. */
typedef struct sgp_agreement {
    sgp_agree_call_t *call;                /* NULL: the group is not elastic */
    void (*leave)(sgp_agree_call_t *call); /* in sgp_group_leave, before the inbox is destroyed */
    void (*destroy)(sgp_agree_call_t *call);
} sgp_agreement_t;

/* Something that a caller's barrier or gather begins with: where steps are collective calls, nodes that have made theirs meet
 * those that a loss has stopped in it. */
typedef struct sgp_meeting {
    sgp_status_t (*meet)(void *context); /* an error is that of the caller's call */
    void *context;
    struct sgp_meeting *next; /* the group's */
} sgp_meeting_t;

/* Of an elastic group; in the same order on all nodes, between the same two collective calls. The meeting is the caller's, and
 * stays where it is until it is taken out. */
void sgp_group_add_meeting(sgp_group_t *group, sgp_meeting_t *meeting);
void sgp_group_take_meeting_out(sgp_group_t *group,
                                sgp_meeting_t *meeting); /* fine if it is not there */

/* All of them, in the order in which they were added, up to the first error. */
sgp_status_t sgp_group_meet(sgp_group_t *group);

/* sgp_group_gather for meetings themselves: it begins with none. */
sgp_status_t sgp_group_gather_met(sgp_group_t *group, const void *mine, size_t bytes, void *all);

/* Once, before the first collective call. Takes the state. */
void sgp_group_set_agreement(sgp_group_t *group, const sgp_agreement_t *agreement);

/* NULL: the group is not elastic, and the loss of a rank ends its collective calls. */
sgp_agree_call_t *sgp_group_agreement(const sgp_group_t *group);

/* Whether that rank took part in the group's last barrier or gather to its end (gather has zeros for those that did not): the same on all nodes that did. Always true in
 * a group that is not elastic, and before the first call. */
bool sgp_group_took_part(const sgp_group_t *group, int rank);

/* (size) For collective.c, which sets them; in an elastic group. */
bool *sgp_group_participants(sgp_group_t *group);

/* What the group knows of its members (membership.h); NULL: it is not elastic. */
typedef struct sgp_membership sgp_membership_t;
sgp_membership_t *sgp_group_membership(const sgp_group_t *group);

/* What the group itself does with it. */
typedef struct sgp_membership_ops {
    bool (*next_event)(sgp_membership_t *membership, sgp_event_t *event);
    uint64_t (*end_step)(sgp_membership_t *membership, int rank);
    void (*destroy)(sgp_membership_t *membership);
} sgp_membership_ops_t;

/* Once, by agree_call.c. Takes it: sgp_group_leave and _abort call destroy. ops: static. */
void sgp_group_set_membership(sgp_group_t *group, sgp_membership_t *membership,
                              const sgp_membership_ops_t *ops);

/* What the group does for newcomers, or is itself as one (newcomers.h); NULL: nothing. Taken: sgp_group_leave and _abort call
 * destroy, before the transport is destroyed. */
typedef struct sgp_newcomers_state sgp_newcomers_state_t;
sgp_newcomers_state_t *sgp_group_newcomers(const sgp_group_t *group);
void sgp_group_set_newcomers(sgp_group_t *group, sgp_newcomers_state_t *newcomers,
                             void (*destroy)(sgp_newcomers_state_t *newcomers));

/* What this node knows of the run for those who look at it (group_status.h); NULL: nothing. Taken: sgp_group_leave and _abort
 * call stop before the inbox is destroyed, and then destroy. ops: static. */
typedef struct sgp_group_status sgp_group_status_t;
typedef struct sgp_group_status_ops {
    void (*stop)(sgp_group_status_t *status);
    void (*destroy)(sgp_group_status_t *status);
} sgp_group_status_ops_t;
sgp_group_status_t *sgp_group_status(const sgp_group_t *group);
void sgp_group_set_status(sgp_group_t *group, sgp_group_status_t *status,
                          const sgp_group_status_ops_t *ops);

/* ---- the flight recorder ---- */

/* The run has ended with that status on this node: its recorder is written, as after a failed call (flight_watch.h). */
void sgp_group_failed(sgp_group_t *group, sgp_status_t status);

/* ---- the lease ---- */

/* lease: copied; NULL: no agent any more. */
void sgp_group_set_lease(sgp_group_t *group, const sgp_lease_t *lease);

bool sgp_group_has_lease(const sgp_group_t *group);

/* The lease's owner; NULL: there is none. */
void *sgp_group_lease_owner(const sgp_group_t *group);

/* As sgp_lease_take and so on, with the group's lease. */
sgp_status_t sgp_group_take(sgp_group_t *group, const void *owner, bool *taken);
void sgp_group_give(sgp_group_t *group);
void sgp_group_serve(sgp_group_t *group);

/* ---- for src/group/join and its launchers ---- */

/* How the group, or the one that it was made from, was joined; NULL: it was made by sgp_group_create
 * alone. */
typedef struct sgp_origin sgp_origin_t; /* group/join/origin.h */
const sgp_origin_t *sgp_group_origin(const sgp_group_t *group);
void sgp_group_set_origin(sgp_group_t *group, sgp_origin_t *origin /* taken */);

/* Records the first loss for the launcher: the 32-bit word of this process in that file (word P of
 * process P) becomes the number of the lost process, plus 1. file: copied; NULL: nothing is
 * recorded. Call it once the ranks are named. */
void sgp_group_tell_losses(sgp_group_t *group, const char *file);

/* That file, or NULL. */
const char *sgp_group_loss_file(const sgp_group_t *group);

#endif
