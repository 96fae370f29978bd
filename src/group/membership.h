/* SPDX-License-Identifier: Apache-2.0 */
/* Membership: what this node knows of the members of its elastic group, and what it tells the others. It owns the group's
 * view (group/view.h). Called by the mixing, which takes its graph from it, by the run for its data, by the public calls
 * about members, and by those who let members join and leave (sgp_group_membership in group_internal.h).
 *
 * It makes a notice DEAD or LEFT for each rank that the transport reports as lost or gone (transport/fates.h), merges the
 * notices of the others, and spreads news in VIEW messages: to every rank from which or to which this node sends or
 * receives, to the next live seat, and for some steps to a member at random. Each header that this node sends carries the
 * digest of its view; two nodes whose digests differ send each other their views. All of this happens whenever this node
 * looks at its inbox (sgp_inbox_look), so in every wait and at every step.
 *
 * A seat is a rank of the transport. A step is one of sgp_mixer_step; of several mixers of a group the one that
 * is ahead counts.
 *
 * Locks: the calls below that take a lock say "any thread". The others belong to the caller that has the use of the group's
 * transport (group/lease.h). The protocol is in docs/membership.md, "The view and the plan". */
#ifndef SGP_GROUP_MEMBERSHIP_H
#define SGP_GROUP_MEMBERSHIP_H

#include "group/group_internal.h"
#include "group/view_message.h"
#include "group/view_plan.h"

/* ---- steps, for the mixing ---- */

/* Where a mixer is: it is about to make `step`; its next exchange has the number `round`, and pushes of `channel` carry such
 * numbers. The last one of `local_steps` steps makes `rounds` exchanges. */
typedef struct sgp_moment {
    uint32_t channel;
    uint64_t step, round, local_steps, rounds; /* of the last two, 0 is 1 */
    bool
        by_pair; /* pushes are counted for each pair of nodes instead: their numbers are no rounds */
} sgp_moment_t;

/* The step in which the exchange of that round takes place. */
uint64_t sgp_moment_step(const sgp_moment_t *moment, uint64_t round);

/* This node begins a step. Takes in what has happened, sends what is due, and may sleep: while this part of the group has no
 * quorum. Where nothing has happened: two atomic loads, and no lock. SGP_ERR_PEER_LOST, logged: as
 * sgp_membership_standing. */
sgp_status_t sgp_membership_begin_step(sgp_membership_t *membership, const sgp_moment_t *moment);

/* Where this part of the group has no quorum: waits until it has one, asleep, and no longer than pause_ns. The caller has the use
 * of the transport, and is between two steps. Else: one atomic load. SGP_ERR_PEER_LOST: as sgp_membership_standing. */
sgp_status_t sgp_membership_await_quorum(sgp_membership_t *membership);

/* The pause of a part without quorum, as this node sees it. */
typedef struct sgp_pause {
    bool
        between; /* this node waits between two steps, or in a collective call; else in the middle of a step, or not at all */
    int here, plan; /* members that it hears, itself among them, of so many */
    double seconds; /* so far */
    double most;    /* it lasts at most */
} sgp_pause_t;

/* Whether this part pauses. pause: filled in if it does. One atomic load where it does not; any thread. */
bool sgp_membership_pause(sgp_membership_t *membership, sgp_pause_t *pause);

/* A collective call begins, or ends: in it a silent member keeps all others waiting, and is asked about sooner. Calls can be
 * nested. membership: NULL is fine. */
void sgp_membership_in_collective(sgp_membership_t *membership, bool inside);

/* The same for a wait for all others within a step, as in an all-reduce. Two atomic operations where none is silent. */
void sgp_membership_awaits_all(sgp_membership_t *membership, bool inside);

/* SGP_ERR_PEER_LOST, logged: this node cannot go on with the others: they take it for dead, or its part had no quorum for
 * pause_ms. SGP_OK: it can, as far as it knows. */
sgp_status_t sgp_membership_standing(sgp_membership_t *membership);

/* Whether the others go on without this member, which lives: they have struck it off, or given its seat to another one, or it
 * has given way to one that it does not hear. Then it can join again (group/join/rejoin.h). Any thread. */
bool sgp_membership_is_struck_off(sgp_membership_t *membership);

/* SGP_ERR_PEER_LOST, logged: so it is. What this member has read since may have been chunks that others have overwritten: before it
 * reports that its numbers are wrong it asks this. NULL: SGP_OK. Any thread. */
sgp_status_t sgp_membership_check_self(sgp_membership_t *membership);

/* Whether another member has its seat now. Any thread. */
bool sgp_membership_is_replaced(sgp_membership_t *membership);

/* Counts the changes of the view. One atomic load; any thread. */
uint64_t sgp_membership_version(const sgp_membership_t *membership);

/* The plan of a step: the seats over which its graph is formed, ascending; a seat's place is its rank in the graph. Returns
 * their number. *until: the plan holds for the steps before it, as long as the version is the same; SGP_VIEW_NEVER: for
 * all. seats: (sgp_membership_capacity). Any thread. */
int sgp_membership_plan(sgp_membership_t *membership, uint64_t step, int *seats, uint64_t *until);

/* Of a seat in the plan of a step: absent, a hole, or live. Any thread. */
sgp_seat_state_t sgp_membership_state(sgp_membership_t *membership, int seat, uint64_t step);

/* Seats, used or not. */
int sgp_membership_capacity(const sgp_membership_t *membership);

/* The digest of the view, as the headers that this node sends carry it. One atomic load; any thread. */
uint64_t sgp_membership_digest(const sgp_membership_t *membership);

/* The newest member of each seat, as sgp_group_view has them. members: (capacity of the group). Fine for a group that is not
 * elastic. Any thread. */
void sgp_membership_describe(sgp_group_t *group, sgp_member_t *members);

/* For sgp_group_next_event: the next event of the members that the transport does not know of. false: there is none. One
 * atomic load where there is none; any thread. */
bool sgp_membership_next_event(sgp_membership_t *membership, sgp_event_t *event);

/* The step from which on the graph is without the newest member of that seat; 0: it is not known to end. Any thread. */
uint64_t sgp_membership_end_step(sgp_membership_t *membership, int rank);

/* ---- what has changed, for the division of the data ---- */

typedef enum sgp_change_kind {
    SGP_CHANGE_JOIN = 1, /* in the plan from `step` on */
    SGP_CHANGE_LEFT,     /* in the plan up to `step`, and it took part up to `last` */
    SGP_CHANGE_DEAD, /* the same; `last` is the last step of which a push was seen by any member known to this one */
} sgp_change_kind_t;

/* As segments_event_t (src/data/segments.h) wants it: JOIN is JOINS with first = step; LEFT and DEAD are LEAVES with
 * first = last + 1 (0 if no push is known: `pushed` is false) and end = step. */
typedef struct sgp_change {
    sgp_change_kind_t kind;
    int seat;
    uint32_t incarnation;
    uint64_t step; /* K */
    uint64_t last;
    bool pushed; /* of LEFT and DEAD: a push of the member is known, and `last` is its step */
    uint64_t candidate; /* of a JOIN */
} sgp_change_t;

/* A reader of the changes; zeros: it has read none. Any number of readers. */
typedef struct sgp_change_reader {
    uint64_t version, until; /* of the view: told, and being told */
    int seat;                /* the next one */
} sgp_change_reader_t;

/* The next changes, at most `room`, as the view has them now: the JOIN of a member before its end, members of a seat by
 * incarnation, seats in ascending order. A later change of the same notice (a smaller K, a larger last) is told again, as a
 * whole; changes merge, so a reader may apply them in any order and twice. Returns their number; 0: there are none. room: at
 * least SGP_CHANGES_OF_A_SEAT. Nothing is missed, and nothing is allocated. Any thread, one for each reader. */
size_t sgp_membership_changes(sgp_membership_t *membership, sgp_change_reader_t *reader,
                              sgp_change_t *changes, size_t room);

enum { SGP_CHANGES_OF_A_SEAT = 2 * SGP_VIEW_INCARNATIONS };

/* ---- notices from elsewhere: joining and leaving ---- */

/* Merges a notice that this node makes or has heard of outside of VIEW messages, and spreads it. SGP_ERR_INVALID, logged: it
 * does not pass sgp_view_check. Any thread; it is sent when this node looks at its inbox. */
sgp_status_t sgp_membership_tell(sgp_membership_t *membership, const sgp_member_notice_t *notice);

/* K for a notice that is made now (sgp_replan_step, from the highest step heard of). Any thread. */
uint64_t sgp_membership_next_plan(sgp_membership_t *membership);

/* This node leaves: makes its LEFT notice, with the last step that it has begun, and sends it to all that are present,
 * asleep until there is room, at most until the deadline. Then sgp_group_leave. *step: K. The caller has the use of the
 * transport. SGP_ERR_TIMEOUT: some were not told, and will learn it from the others. */
sgp_status_t sgp_membership_leave(sgp_membership_t *membership, uint64_t deadline, uint64_t *step);

/* The next message of the whole view (group/view_message.h), for a candidate. Any thread. */
size_t sgp_membership_encode(sgp_membership_t *membership, sgp_view_cursor_t *cursor,
                             unsigned char *bytes, size_t room);

/* Merges a VIEW message that came by another way, and spreads its news. As sgp_view_decode; any thread. */
sgp_status_t sgp_membership_decode(sgp_membership_t *membership, const unsigned char *bytes,
                                   size_t size, const char **reason);

/* The member that this node is; founders: incarnation 0, candidate 0. Set before the first step by a node that joins. */
void sgp_membership_set_self(sgp_membership_t *membership, uint32_t incarnation,
                             uint64_t candidate);

/* The transport has opened the seat for a new member: nothing of what was heard of the former one, or sent to it, counts any
 * more. The caller has the use of the transport. */
void sgp_membership_open_seat(sgp_membership_t *membership, int seat);
/* The incarnation for the next member of a seat, as far as the view knows; false: the seat is not free. Any thread. */
bool sgp_membership_is_free(sgp_membership_t *membership, int seat, uint32_t *incarnation);

/* Whether all members have had time to hear of the JOIN notice of that candidate, or of another one with the same place: two
 * sponsors can give a seat away at the same moment, and the view keeps one of the two. *stays: it is this one. No member opens
 * the seat before that. Any thread. */
bool sgp_membership_is_settled(sgp_membership_t *membership, int seat, uint32_t incarnation,
                               uint64_t candidate, bool *stays);

/* Of a newcomer, before its first step: it is in the plan from that step on. Any thread. */
sgp_status_t sgp_membership_enter(sgp_membership_t *membership, uint64_t step);

/* ---- for the group ---- */

#define SGP_QUORUM 0.5

typedef struct sgp_membership_options {
    double
        quorum; /* a part with no more than this share of the plan pauses; below 0: every part goes on */
    uint64_t pause_ns; /* for so long */
    uint64_t dead_ns;  /* a member that is silent for so long is asked about */
    uint64_t
        dead_together_ns; /* the same in a collective call, where it keeps all others waiting */
} sgp_membership_options_t;

/* For an elastic group, before its first message: founders are the ranks of the transport. Every rank of the group does so.
 * SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_membership_create(sgp_group_t *group, sgp_membership_t **membership);
void sgp_membership_destroy(sgp_membership_t *membership); /* NULL is fine */

extern const sgp_membership_ops_t sgp_membership_ops; /* for sgp_group_set_membership */

/* Before the first step. Zeros are the defaults: SGP_QUORUM, 60 s, 10 s and 1 s. */
void sgp_membership_configure(sgp_membership_t *membership,
                              const sgp_membership_options_t *options);

/* Replaces the first two of the options, as they are, for an owner that tells itself of a pause: a pause is then no warning
 * in the log. Any thread. */
void sgp_membership_set_quorum(sgp_membership_t *membership, double quorum, uint64_t pause_ns);

#endif
