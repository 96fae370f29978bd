/* SPDX-License-Identifier: Apache-2.0 */
/* The messages between this rank and one other, as traffic.c keeps them: their turns at the network links (scheduler.h). In
 * the progress thread; called by traffic.c, and knows no connection. */
#ifndef SGP_TRANSPORT_TCP_FLOW_H
#define SGP_TRANSPORT_TCP_FLOW_H

#include "transport/tcp/chunk_pool.h"
#include "transport/tcp/receipts.h"

/* The messages to and from one rank. */
typedef struct sgp_flow {
    sgp_post_list_t queue; /* posts to be sent */
    sgp_turn_t posted;     /* of the newest message among them */
    uint64_t posting;      /* its id */
    uint32_t allowed;      /* by the rank: messages of this turn; 0: of all */
    uint64_t allowed_at;   /* nanoseconds */
    sgp_turn_t arriving;   /* of the message that arrives */
    uint64_t message;      /* its id */
    uint64_t left;         /* numbers of it that have not arrived */
    uint32_t told;         /* to the rank: the turn that it may send; 0: all */
    bool gone;             /* the rank is lost or has left */
    uint32_t
        over; /* number of the connection over which posts were sent last; 0: they are queued again */
    sgp_receipts_t receipts;
} sgp_flow_t;

/* gone: nobody is there yet. */
void sgp_flow_init(sgp_flow_t *flow, bool gone);
void sgp_flow_fini(sgp_flow_t *flow);

/* Gives the post the turn of its message. true: the message has just begun at that link. */
bool sgp_flow_begin_posting(sgp_flow_t *flow, sgp_scheduler_t *out, sgp_post_t *post);

/* A chunk arrives, or is here. true: its message has begun, or ended, at the link. */
bool sgp_flow_begin_arriving(sgp_flow_t *flow, sgp_scheduler_t *in, const sgp_header_t *header);
bool sgp_flow_end_arriving(sgp_flow_t *flow, const sgp_header_t *header);

#endif
