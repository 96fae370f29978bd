/* SPDX-License-Identifier: Apache-2.0 */
/* The progress thread of tcp: a libuv loop that moves the chunks of a rank over its connections.
 *
 * The owner (tcp.c) puts chunks that leave into the pool, and takes arrived ones out of it; a call
 * here wakes the thread. Everything about sockets belongs to the thread, and only what chunk_pool.h
 * and the fields under `lock` hold is shared. In the thread, files call one way: tcp_engine.c calls
 * traffic.c, which calls edges.c, which calls connection.c. */
#ifndef SGP_TRANSPORT_TCP_TCP_ENGINE_H
#define SGP_TRANSPORT_TCP_TCP_ENGINE_H

#include "transport/tcp/traffic.h"

/* A loss of a local rank, noticed by the owner. */
typedef struct sgp_noticed sgp_noticed_t;

/* The next member of a seat. */
typedef struct sgp_newcomer {
    int seat;
    uint32_t incarnation;
    sgp_address_t address;
} sgp_newcomer_t;

/* Embedded; private. */
typedef struct sgp_tcp_engine {
    sgp_chunk_pool_t pool;
    sgp_slots_t *slots;

    pthread_mutex_t lock; /* of the next six */
    pthread_cond_t changed;
    sgp_noticed_t *noticed;         /* not seen by the thread yet, the latest first */
    bool met;                       /* the neighbours are there, or a rank is lost */
    bool leaving, has_left;         /* the owner asks; the thread answers */
    bool ending, aborts;            /* the thread is to end; and to say that it is on purpose */
    const sgp_newcomer_t *newcomer; /* the owner waits until the thread has taken it; NULL: none */
    atomic_bool *gone;              /* (capacity) nothing more is to be posted to it */
    atomic_bool *ended;             /* (capacity) it has left, and nothing more comes from it */

    pthread_t thread;
    bool started;
    /* The thread's. */
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    uv_timer_t contention; /* runs while a link is contended */
    bool contended;        /* it runs */
    uv_poll_t listening;
    sgp_edges_t edges;
    sgp_traffic_t traffic;
    sgp_visitors_t visitors;
    bool knows_met;
    unsigned looked; /* changes of edges and losses when `ended` was looked at */
    uint64_t ticked; /* when the timer last ran, nanoseconds */
    uint64_t tick;   /* between two runs of it */
} sgp_tcp_engine_t;

/* options->listener is taken in every case. slots: borrowed. SGP_ERR_NO_MEMORY (logged): nothing to
 * destroy. */
sgp_status_t sgp_tcp_engine_init(sgp_tcp_engine_t *engine, const sgp_tcp_options_t *options,
                                 sgp_slots_t *slots);

/* Starts the thread, and waits for the neighbours unless options->at_once. SGP_ERR_SYSTEM,
 * SGP_ERR_NO_MEMORY, SGP_ERR_TIMEOUT; logged. */
sgp_status_t sgp_tcp_engine_start(sgp_tcp_engine_t *engine, const sgp_tcp_options_t *options);

/* Before fini: other ranks are told that this one ends on purpose, where its sockets take that at
 * once. */
void sgp_tcp_engine_abort(sgp_tcp_engine_t *engine);

/* Ends the thread. Other ranks see a process that has ended, unless it has left. */
void sgp_tcp_engine_fini(sgp_tcp_engine_t *engine);

/* The pool has something new for the thread. */
static inline void sgp_tcp_engine_wake(sgp_tcp_engine_t *engine) {
    uv_async_send(&engine->wake);
}

/* The rank is lost or has left: nothing is to be posted to it. */
static inline bool sgp_tcp_engine_is_gone(const sgp_tcp_engine_t *engine, int rank) {
    return atomic_load(&engine->gone[rank]);
}

/* The rank, which is not local, has left, and its last chunk can be received. */
static inline bool sgp_tcp_engine_has_ended(const sgp_tcp_engine_t *engine, int rank) {
    return atomic_load(&engine->ended[rank]);
}

/* A local rank is lost: the peers are told, and then slots->transport.fates has it. Any thread;
 * never blocks. */
void sgp_tcp_engine_note(sgp_tcp_engine_t *engine, int rank, sgp_fate_t fate, const char *why);

/* Lets go of the seat's earlier member, and lets the newcomer in, also in slots->transport.fates. Blocks until the thread
 * has done it; no post is made meanwhile. */
void sgp_tcp_engine_open(sgp_tcp_engine_t *engine, const sgp_newcomer_t *newcomer);

/* Where the seat's present member listens; between two calls of open. */
static inline const sgp_address_t *sgp_tcp_engine_address(const sgp_tcp_engine_t *engine,
                                                          int rank) {
    return &engine->edges.of[rank].address;
}

/* How long nothing has been heard of a rank that is not local, in nanoseconds, give or take a tick. Any thread. */
static inline uint64_t sgp_tcp_engine_silence(const sgp_tcp_engine_t *engine, int rank,
                                              uint64_t now) {
    return sgp_contact_silence(&engine->edges.of[rank].contact, now);
}

/* Blocks until all posts are delivered and all peers know that this rank leaves, or the deadline
 * has passed. */
void sgp_tcp_engine_leave(sgp_tcp_engine_t *engine, uint64_t deadline);

#endif
