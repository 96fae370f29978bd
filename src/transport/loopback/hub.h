/* SPDX-License-Identifier: Apache-2.0 */
/* The hub of loopback: its ranks, and the memory of the chunks under way between them. Called by loopback's files
 * alone, with the hub's lock held but where a call says otherwise; never sleeps and knows no clock. */
#ifndef SGP_TRANSPORT_LOOPBACK_HUB_H
#define SGP_TRANSPORT_LOOPBACK_HUB_H

#include "transport/contexts.h"
#include "transport/loopback/arrivals.h"
#include "transport/loopback/loopback.h"

#include <pthread.h>

typedef enum rank_state { RANK_WORKS, RANK_LEFT, RANK_LOST } rank_state_t;

typedef struct rank {
    sgp_transport_t transport; /* first: a transport is a rank */
    sgp_loopback_t *hub;
    rank_state_t state;
    sgp_contexts_t contexts;
    pthread_cond_t changed[SGP_CONTEXTS]; /* where they sleep */
    delivery_t *first, **last;            /* arrived, oldest first */
    size_t in_use;                        /* chunks sent and not yet released */
    pthread_mutex_t shared;               /* of what the two contexts share */
    pthread_t agent;                      /* while it has not ended */
} rank_t;

struct sgp_loopback {
    sgp_loopback_options_t options;
    pthread_mutex_t lock; /* of everything below and of the ranks' fields */
    uint64_t clock;       /* virtual nanoseconds */
    arrivals_t arrivals;  /* in virtual time */
    buffer_t *free_buffers;
    buffer_t *made_buffers; /* all: a message can be abandoned with a buffer taken */
    delivery_t *free_deliveries;
    /* What send_begin has promised and send_next and commit have not taken yet, and what lies ready
     * for that. */
    size_t promised_buffers, promised_deliveries, ready_buffers, ready_deliveries;
    sgp_fates_t *fates; /* the same for all ranks */
    rank_t *ranks;      /* (size) */
};

/* For send_begin: memory for so many chunks and deliveries, so that nothing after can fail. false: there is none. */
bool sgp_hub_promise(sgp_loopback_t *hub, size_t buffers, size_t deliveries);

/* Of those promised. */
buffer_t *sgp_hub_take_buffer(sgp_loopback_t *hub);
delivery_t *sgp_hub_take_delivery(sgp_loopback_t *hub);

/* One reference less; with the last one the sender has room again. */
void sgp_hub_drop_buffer(sgp_loopback_t *hub, buffer_t *buffer);

/* A delivery is over, with its reference to a buffer. */
void sgp_hub_drop_delivery(sgp_loopback_t *hub, delivery_t *delivery);

/* The receiver's queue. take: NULL if it is empty. */
void sgp_hub_queue_put(rank_t *receiver, delivery_t *delivery);
delivery_t *sgp_hub_queue_take(rank_t *receiver);

/* Frees all messages under way and all memory for them. No thread uses the hub any more. */
void sgp_hub_free_messages(sgp_loopback_t *hub);

#endif
