/* SPDX-License-Identifier: Apache-2.0 */
/* The view: what a node knows about the members of its group, merged from the notices that it has
 * received or made (group/member_notice.h). The plan follows from it (group/view_plan.h), and it
 * travels in VIEW messages (group/view_message.h). The group owns one; nothing here knows a
 * transport or a clock.
 *
 * Two nodes that have merged the same notices have the same view, whatever the order and however
 * often: merging is commutative, associative and idempotent. Notices are merged by member:
 *  - Of several JOINs the one with the smallest candidate counts, and of those the one with the
 *    smallest step.
 *  - LEFT and DEAD are final. Their smallest step and their largest last step count. The member
 *    has LEFT if any of them says so; its death is certain if any of them says so.
 *  - Of each seat the newest SGP_VIEW_INCARNATIONS incarnations are kept, and the newest one's card.
 *    Notices of older ones are ignored, by all nodes alike. So memory is bounded.
 *
 * Founders are the members at the start: the first seats, incarnation 0. There are no JOINs of them.
 *
 * Nothing is allocated after creation. Not thread-safe. The protocol is in docs/membership.md, "The
 * view and the plan". */
#ifndef SGP_GROUP_VIEW_H
#define SGP_GROUP_VIEW_H

#include "group/member_notice.h"

#include <stdbool.h>

/* A seat is given again while its former member may still be in the plan of the present step. This
 * many uses of one seat fit into the steps that a plan looks ahead. */
#define SGP_VIEW_INCARNATIONS 4

/* No step: of a member that is not known to end, or whose JOIN is not known. */
#define SGP_VIEW_NEVER UINT64_MAX

typedef struct sgp_view sgp_view_t;

/* The view that knows the founders alone. capacity: seats, 1 to SGP_MOST_PROCESSES; founders: 1 to
 * capacity. SGP_ERR_INVALID, SGP_ERR_NO_MEMORY (logged). */
sgp_status_t sgp_view_create(int capacity, int founders, sgp_view_t **view);
void sgp_view_destroy(sgp_view_t *view); /* NULL is fine */

int sgp_view_capacity(const sgp_view_t *view);
int sgp_view_founders(const sgp_view_t *view);

/* Seats from here on were never used. */
int sgp_view_seats(const sgp_view_t *view);

/* XOR of the hashes of all merged notices. Equal for equal notices; they may still differ in origins,
 * flags and cards, on which nothing that all must do alike depends. 0 for the founders alone. */
uint64_t sgp_view_digest(const sgp_view_t *view);

/* Counts the merges that changed the digest. */
uint64_t sgp_view_version(const sgp_view_t *view);

/* ---- merging ---- */

/* Whether a notice can be merged. NULL: it can; else the reason (static). */
const char *sgp_view_check(const sgp_view_t *view, const sgp_member_notice_t *notice);

/* Merges a notice that passes the check; its card is copied. Whether that changed the digest: then
 * the notice is news, to be passed on. */
bool sgp_view_merge(sgp_view_t *view, const sgp_member_notice_t *notice);

/* ---- members ---- */

typedef struct sgp_view_member {
    int seat;
    uint32_t incarnation;
    uint64_t from;  /* its first step; founders: 0; SGP_VIEW_NEVER: no JOIN is known */
    uint64_t until; /* the first step without it, or SGP_VIEW_NEVER */
    sgp_member_notice_kind_t end; /* LEFT or DEAD; 0: neither */
    bool certain;                 /* LEFT, or seen to die */
    uint64_t last;                /* of the notices of its end; 0: there are none */
    uint64_t candidate;           /* founders: 0 */
    const unsigned char *card;    /* (card_bytes) the view's, until the next merge */
    size_t card_bytes;            /* 0: none is known, or it is not the newest of its seat */
    uint64_t version; /* of the view (sgp_view_version), when any of this changed last */
} sgp_view_member_t;

/* false: nothing is known about such a member. */
bool sgp_view_member(const sgp_view_t *view, int seat, uint32_t incarnation,
                     sgp_view_member_t *member);

/* The newest incarnation of a seat of which a notice is known. false: the seat was never used. */
bool sgp_view_newest(const sgp_view_t *view, int seat, uint32_t *incarnation);

/* What the view says to a member that reads its own name in it. */
typedef enum sgp_view_claim {
    SGP_CLAIM_HOLDS,
    SGP_CLAIM_STRUCK_OFF, /* LEFT or DEAD: if it lives, it joins again, with incarnation + 1 */
    SGP_CLAIM_REPLACED,   /* the seat has gone to another: it asks for a new one */
} sgp_view_claim_t;

/* candidate: of the member's own JOIN; founders: 0. */
sgp_view_claim_t sgp_view_claim(const sgp_view_t *view, int seat, uint32_t incarnation,
                                uint64_t candidate);

/* ---- events: what the merges have changed ---- */

typedef enum sgp_view_event_kind {
    SGP_VIEW_JOINED = 1,
    SGP_VIEW_LEFT, /* also of a member whose DEAD was told */
    SGP_VIEW_DEAD,
    SGP_VIEW_REPLACED, /* another JOIN of this member counts than the one that was told */
    SGP_VIEW_MOVED,    /* the step or the last step of its end differs from what was told */
} sgp_view_event_kind_t;

typedef struct sgp_view_event {
    sgp_view_event_kind_t kind;
    int seat;
    uint32_t incarnation;
    uint64_t step; /* K */
    uint64_t last; /* of an end */
} sgp_view_event_t;

/* Takes the next event. There is one reader, and at most two events wait for each member: a later
 * change updates an event that was not taken. Those of incarnations that are no longer kept are
 * dropped. Events of one seat come in the order of incarnations, and of a member's JOIN before those
 * of its end; seats come in the order of their first change. false: there is none. */
bool sgp_view_next_event(sgp_view_t *view, sgp_view_event_t *event);

#endif
