/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks between a rank and the others: the queues to each, what is sent and read next, and
 * what becomes of a chunk. In the progress thread. It acts on the decisions of two schedulers
 * (scheduler.h), for the network link into this rank and the link out of it. Called by
 * tcp_engine.c; it calls edges.c, connection.c and chunk_pool.c. */
#ifndef SGP_TRANSPORT_TCP_TRAFFIC_H
#define SGP_TRANSPORT_TCP_TRAFFIC_H

#include "transport/slots/slots.h"
#include "transport/tcp/edges.h"
#include "transport/tcp/flow.h"

/* Embedded. Written by traffic.c alone. */
typedef struct sgp_traffic {
    sgp_edges_t *edges;
    sgp_chunk_pool_t *pool;
    sgp_slots_t *slots;
    sgp_flow_t *flows;       /* (capacity) */
    sgp_scheduler_t in, out; /* of the links into this rank and out of it */
    bool due;                /* messages have begun or ended since the schedulers were asked */
    unsigned closed;         /* of edges->closed, as many were looked at */
    bool short_of_memory;    /* for an arrival; it was logged, and the timer tries again */
    unsigned char
        *waste; /* (chunk_bytes) where chunks are read that have come before; NULL: none has */
} sgp_traffic_t;

/* All pointers are borrowed. SGP_ERR_NO_MEMORY (logged). sgp_traffic_fini is due in every case. */
sgp_status_t sgp_traffic_init(sgp_traffic_t *traffic, sgp_edges_t *edges, sgp_chunk_pool_t *pool,
                              sgp_slots_t *slots);
void sgp_traffic_fini(sgp_traffic_t *traffic);

/* Does what the owner has handed over: queues its posts, tells senders of the chunks it
 * released. */
void sgp_traffic_collect(sgp_traffic_t *traffic);

/* Sends what can be sent on a connection; reads what has come, and sends. */
void sgp_traffic_send(sgp_traffic_t *traffic, sgp_connection_t *connection);
void sgp_traffic_receive(sgp_traffic_t *traffic, sgp_connection_t *connection);
void sgp_traffic_send_all(sgp_traffic_t *traffic);

/* The connection has just been opened. */
void sgp_traffic_begin(sgp_traffic_t *traffic, sgp_connection_t *connection);

/* Goes on with chunks that were left for lack of memory, or held for too long. Called at intervals. */
void sgp_traffic_retry(sgp_traffic_t *traffic);

/* The rank is gone: drops all posts to it, now and later. */
void sgp_traffic_give_up(sgp_traffic_t *traffic, int rank);

/* The rank, which had been given up, is another process now. All posts to the earlier one were collected. */
void sgp_traffic_seat(sgp_traffic_t *traffic, int rank);

/* Posts wait for the rank. */
bool sgp_traffic_waits_for(const sgp_traffic_t *traffic, int rank);

/* All is delivered, and all peers know that this rank leaves. */
bool sgp_traffic_has_left(const sgp_traffic_t *traffic);

/* Asks the schedulers again if that is due, and serves the connections that may continue. Last in
 * each call of the loop. true: a link is contended, so sgp_traffic_look is due twice in
 * SGP_SCHEDULER_WINDOW. */
bool sgp_traffic_schedule(sgp_traffic_t *traffic);
void sgp_traffic_look(sgp_traffic_t *traffic);

#endif
