/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a membership (group/membership.h), for the files membership*.c alone: membership_calls.c has the
 * calls, membership_public.c the public ones, membership_service.c works in each look at the inbox, with
 * membership_silence.c for the members that are not heard and membership_notices.c for what follows from a change. */
#ifndef SGP_GROUP_MEMBERSHIP_INTERNAL_H
#define SGP_GROUP_MEMBERSHIP_INTERNAL_H

#include "group/membership.h"
#include "group/post.h"
#include "group/verdict.h"

#include "base/random.h"

#include <pthread.h>

/* What was sent to a rank. */
typedef struct sgp_peer {
    uint64_t own, theirs;     /* the digests for which it has got our view; equal: none */
    sgp_view_cursor_t cursor; /* of a view that is being sent to it */
    bool sending;
    bool chosen;          /* at random, to be told */
    bool refused;         /* its seat could not be opened for the member of */
    uint32_t refused_for; /*     that incarnation */
    /* What is heard of it. */
    bool silent; /* by the fates */
    /* Lost by the transport, which only did not hear it; or found gone by a newcomer. */
    bool doubtful;
    /* It ended while this part had no quorum, or while this node stood still: others may go on. */
    bool unseen;
    uint64_t
        ended; /* when the view had its end, while the transport has it as present; 0: it has not */
    sgp_verdict_t verdict; /* of a silent one */
    _Atomic uint64_t step; /* the latest that was heard of */
} sgp_peer_t;

/* Events that wait to be taken (sgp_group_next_event). */
typedef struct sgp_membership_news {
    bool paused, resumed, replanned;
    uint64_t paused_in, resumed_in, replanned_to; /* steps */
} sgp_membership_news_t;

struct sgp_membership {
    sgp_group_t *group;
    sgp_transport_t *transport;
    sgp_inbox_t *inbox;
    int size, self;
    pthread_mutex_t lock; /* of the fields below, where it does not say otherwise */
    sgp_view_t *view;
    _Atomic uint64_t version, digest; /* of the view; written with the lock held */
    _Atomic uint64_t step;            /* being made */
    _Atomic uint64_t local_steps;     /* of a round; 0: no step has begun */
    _Atomic uint64_t heard;           /* the highest step of another */
    atomic_bool told;                 /* by another thread: something is to be sent */
    uint32_t incarnation;             /* of this member */
    uint64_t candidate;
    sgp_membership_options_t options;
    bool struck_off; /* the view says that this member has ended, which lives */
    bool leaving;
    /* Of the service, so of the caller that has the transport: */
    sgp_moment_t moment;
    bool begun; /* moment is set */
    sgp_post_t views;
    unsigned char *message; /* (views.room) */
    uint32_t *seen;         /* (size) events of the fates */
    uint32_t events;        /* of the fates, all of which are taken */
    bool looks_again;       /* at all fates: a newcomer that begins */
    /* Of a node that stood still for longer than it is waited for in a collective call: ends that it notices until then came
     * meanwhile; it is not past that. */
    uint64_t away_until;
    bool was_away;
    sgp_peer_t *peers;   /* (size) */
    atomic_uint spreads; /* to members at random in so many more steps */
    uint64_t opened;     /* the version up to which seats were opened for newcomers */
    bool opening;        /* a seat is to be opened later: its first step is far */
    sgp_random_t random;
    sgp_post_t questions;     /* HEARD */
    atomic_int in_collective; /* calls, one within the other; an agent reads it */
    uint64_t quorum_lost;     /* when; 0: this part has it */
    _Atomic uint64_t paused;  /* since when; 0: it does not pause */
    int heard_of, counted;    /* at its beginning: members that were heard, of so many */
    bool told_by_owner;       /* of pauses */
    atomic_bool at_step;      /* waits for a quorum between two steps */
    sgp_membership_news_t news;
    atomic_bool has_news;  /* of the view or of these */
    uint64_t plan_version; /* the view's, of the plan that was looked at last; its caller's, */
    uint64_t plan_until;   /* up to which step it holds, */
    uint64_t plan_hash;    /* and what stands for its members */
};

/* Of the inbox: takes in what has happened and sends what is due. true: there was no room for all of it. */
bool sgp_membership_serve(void *context);

/* A newcomer begins, perhaps with a later step than its own: takes in at once what it has passed over, the fates, and newcomers
 * whose seats it has not opened. */
void sgp_membership_look_again(sgp_membership_t *membership);

/* Lock held: the view has changed, or may have. */
void sgp_membership_changed(sgp_membership_t *membership);

/* Lock held: the seat's member that the transport knows has left, or is lost; the view may have heard of a later one already.
 * A K that is known stays: every member that notices the end makes this notice. */
void sgp_membership_end(sgp_membership_t *membership, int rank, sgp_member_notice_kind_t kind,
                        bool certain);

/* Lock held: this node hears that present rank again, or does not any more. */
void sgp_membership_hears(sgp_membership_t *membership, int rank, bool hears);

/* Lock held: whom this node does not hear, what others say about that, and whether this part has a quorum. true: there was no
 * room for all that is to be sent. */
bool sgp_membership_listen(sgp_membership_t *membership);

/* The steps of the others, as far as their pushes tell. */
void sgp_membership_note_steps(sgp_membership_t *membership);

/* Lock held: live members in the plan of the present step. */
int sgp_membership_live(const sgp_membership_t *membership);

/* Lock held: the step of the next plan, from the highest step that this node has heard of. */
uint64_t sgp_membership_replan(sgp_membership_t *membership);

/* Lock held: opens the seats of newcomers whose JOIN is known, so that messages can be exchanged with them. true: one is left. */
bool sgp_membership_open_seats(sgp_membership_t *membership);

#endif
