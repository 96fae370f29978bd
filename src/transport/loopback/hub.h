/* SPDX-License-Identifier: Apache-2.0 */
/* The hub of loopback: its ranks, and the memory of the chunks under way between them. Called by the files of
 * transport/loopback alone, with the hub's lock held; never sleeps and never moves the clock. */
#ifndef SGP_TRANSPORT_LOOPBACK_HUB_H
#define SGP_TRANSPORT_LOOPBACK_HUB_H

#include "transport/contexts.h"
#include "transport/loopback/arrivals.h"
#include "transport/loopback/faults.h"
#include "transport/loopback/loopback.h" /* its options alone */

#include <pthread.h>
#include <semaphore.h>

typedef enum rank_state { RANK_WORKS, RANK_LEFT, RANK_LOST, RANK_ABSENT } rank_state_t;

typedef struct rank {
    sgp_transport_t transport; /* first: a transport is a rank */
    sgp_loopback_t *hub;
    rank_state_t state;
    sgp_fate_t fate; /* of one that is gone */
    bool killed;     /* by a fault: state is RANK_LOST, and its thread runs on */
    bool destroyed;  /* its thread makes no more calls */
    uint64_t calls;  /* sgp_loopback_calls */
    sgp_contexts_t contexts;
    pthread_cond_t changed[SGP_CONTEXTS]; /* where they sleep in real time */
    sem_t turn[SGP_CONTEXTS];             /* the same in virtual time */
    delivery_t *first, **last;            /* arrived, oldest first */
    delivery_t *early, **early_last;      /* the same, of members whose seats it has not opened */
    delivery_t *held;                     /* received and not released, by `after` */
    size_t in_use;                        /* chunks sent and not yet released */
    pthread_mutex_t shared;               /* the transport's lock, between the two contexts */
    pthread_t agent;                      /* while it has not ended */
} rank_t;

/* Who hears whom; hearing.c writes it. Zeros and sgp_hearing_init. */
typedef struct sgp_hearing {
    bool *untold; /* (seats, seats) row r: by whom r was called silent, and has not been told */
    /* (seats) since when it has stood still, plus 1, once that is longer than suspect_ns; else 0 */
    uint64_t *absent;
    uint64_t next;
} sgp_hearing_t;

struct sgp_loopback {
    sgp_loopback_options_t options;
    pthread_mutex_t lock; /* of all fields below and of the ranks' fields */
    uint64_t clock;       /* virtual nanoseconds */
    uint64_t turns;       /* contexts woken so far, one at a time */
    sem_t *next_turn;     /* of a context that was woken: told as the lock is given free; or NULL */
    sgp_faults_t faults;
    arrivals_t arrivals; /* in virtual time */
    buffer_t *free_buffers;
    buffer_t *made_buffers; /* all of them: an abandoned message keeps its buffer */
    delivery_t *free_deliveries;
    delivery_t *given_up; /* held by ranks that are gone, by `after` */
    /* Promised by send_begin and not yet taken by send_next and send_commit; free for that. */
    size_t promised_buffers, promised_deliveries, ready_buffers, ready_deliveries;
    sgp_hearing_t hearing;
    rank_t *ranks;         /* (options.seats) each with its fates of all */
    pthread_cond_t parted; /* a transport was destroyed */
};

/* For send_begin: allocates so many buffers and deliveries, so that no later step can fail. false: no memory. */
bool sgp_hub_promise(sgp_loopback_t *hub, size_t buffers, size_t deliveries);

/* For send_abandon: the memory stays, for another message. */
void sgp_hub_unpromise(sgp_loopback_t *hub, size_t buffers, size_t deliveries);

/* Take a promised one. */
buffer_t *sgp_hub_take_buffer(sgp_loopback_t *hub);
delivery_t *sgp_hub_take_delivery(sgp_loopback_t *hub);

/* Drops one reference. The last one gives the sender its room back. */
void sgp_hub_drop_buffer(sgp_loopback_t *hub, buffer_t *buffer);

/* Ends a delivery and drops its buffer. */
void sgp_hub_drop_delivery(sgp_loopback_t *hub, delivery_t *delivery);

/* The receiver holds the delivery; it releases it, which may be after its end. */
void sgp_hub_hold(rank_t *receiver, delivery_t *delivery);
void sgp_hub_release(sgp_loopback_t *hub, delivery_t *delivery);

/* The rank has left, or is lost: sets its fate, drops the deliveries to it of elastic senders, or of all if it is killed,
 * and wakes all others. The caller advances the clock. No effect on a rank that is gone. */
void sgp_hub_end_rank(rank_t *rank, rank_state_t state, bool killed);

/* Tells a rank of the end of another one, unless the link from there is cut: then it is told after that. */
void sgp_hub_tell_end(rank_t *rank, const rank_t *gone);

/* Whether it knows of that end, or never knew that member. */
bool sgp_hub_is_told(const rank_t *rank, const rank_t *gone);

/* The rank is lost or gone for `of` alone: sets its fate there, and drops the deliveries of `of` to it. */
void sgp_hub_give_up(rank_t *of, int rank, sgp_fate_t fate, const char *why);
/* Whether a rank knows the present member of another's seat, be it there or gone: not before it has opened the seat. */
bool sgp_hub_knows(const rank_t *rank, const rank_t *other);

/* open of transport.h, checked: a member that has come and gone already is lost at once. */
void sgp_hub_open(rank_t *rank, int seat, uint32_t incarnation);

/* The seat of a rank that is gone is to have a new member: drops what is still on its way to the earlier one. */
void sgp_hub_clear(rank_t *rank);

/* The receiver's queue, oldest first. What a newcomer sends stays outside until its seat is open there, as over tcp, where nobody
 * takes its connection before. take: NULL if it is empty. */
void sgp_hub_queue_put(rank_t *receiver, delivery_t *delivery);
delivery_t *sgp_hub_queue_take(rank_t *receiver);

/* Frees all messages under way and their memory, at the end of the hub. */
void sgp_hub_free_messages(sgp_loopback_t *hub);

#endif
