/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated transport's own: messages, ranks, and the road between them. */
#ifndef SGP_TRANSPORT_SIMULATED_CLUSTER_H
#define SGP_TRANSPORT_SIMULATED_CLUSTER_H

#include "transport/simulated/simgrid_binding.h"
#include "transport/simulated/simulated.h"

typedef struct rank rank_t;

/* A message as it is sent: all of its chunks, and each on its way to each receiver. One block of memory,
 * taken when the message begins, so that nothing after can fail. */
typedef struct message message_t;

/* A message on its way to one receiver: it takes turns with others, as over tcp (transport/tcp/scheduler.h). */
enum { OUT, IN, ENDS };

typedef struct flow {
    message_t *message;
    int dst;
    bool waits[ENDS]; /* at its sender, at its receiver: among these: */
    struct flow *next[ENDS], *previous[ENDS];
    bool passes, moves; /* it has its turn; a chunk of it travels */
    size_t left;        /* chunks that have not arrived */
    struct delivery *held, **last_held;
} flow_t;

typedef struct delivery {
    struct delivery
        *next; /* among those held, those that wait for a carrier, or in the receiver's queue */
    flow_t *flow;
    message_t *message;
    const void *payload;
    int dst;
    double bytes;             /* simulated, of the payload */
    uint64_t arrives, number; /* at line rate: when, and which of those of the same time */
    struct delivery *child;   /* and its place in a heap, with next */
    unsigned char header[SGP_HEADER_BYTES];
} delivery_t;

struct message {
    message_t *next, *previous; /* all that there are: one can be abandoned */
    rank_t *sender;
    uint64_t room;  /* chunks of it, as room is counted */
    int references; /* deliveries not released, and one while it is being written */
    delivery_t *unused;
    unsigned char *place; /* of the current chunk */
    size_t place_bytes;
    uint64_t step;
    bool waits_its_turn; /* it is no word of the group itself */
    flow_t *flows;       /* (destinations) */
    delivery_t deliveries[];
};

/* One of the two lines of a rank. */
typedef struct line {
    uint64_t step; /* of the messages that pass */
    int passing;
    flow_t *first, *last; /* that wait, in the order of their beginning */
} line_t;

typedef enum rank_state { RANK_WORKS, RANK_LEFT, RANK_LOST } rank_state_t;

/* As in transport/loopback. */
typedef enum context_state {
    CONTEXT_WORKS,
    CONTEXT_WAITS,  /* in wait */
    CONTEXT_PAUSES, /* in pause or agent_join: arrivals do not wake it */
    CONTEXT_ENDED   /* or was never started */
} context_state_t;

typedef struct context {
    rank_t *rank;
    context_state_t state;
    bool poked;        /* something other than an arrival changed: room, a loss, a signal */
    bool woken;        /* its semaphore was released since it fell asleep */
    uint64_t wakes_at; /* by itself, while it sleeps */
    void *semaphore;
    void (*body)(void *context); /* the agent's */
    void *body_context;
} context_t;

enum { FIRST, AGENT, CONTEXTS };

struct rank {
    sgp_transport_t transport; /* first: a transport is a rank */
    sgp_simulated_t *cluster;
    rank_state_t state;
    int ended_for; /* the first rank whose loss it knew of when it was gone, or -1 */
    context_t contexts[CONTEXTS];
    delivery_t *first, **last; /* arrived, oldest first */
    delivery_t *scheduled;     /* on their way at line rate, a heap */
    double busy_until;         /* seconds; the line out, at line rate */
    uint64_t in_use;           /* of room, in chunks */
    line_t lines[ENDS];
    bool wants_room;
    bool locked;   /* what the two contexts share; nobody gives way while it is */
    bool signaled; /* by who holds the lock */
    double sent;   /* simulated bytes */
    void (*body)(sgp_transport_t *transport, void *context);
    void *body_context;
};

struct sgp_simulated {
    sgp_simulated_options_t options;
    const sgp_simgrid_binding_t *grid;
    rank_t *ranks; /* (size) */
    message_t *messages;
    /* A delivery travels in the hands of a carrier, an actor that takes the next one when it is back. */
    delivery_t *waiting, **last_waiting;
    void *work;
    int idle, carriers;
    int living;         /* actors that are no carriers */
    sgp_fates_t *fates; /* the same for all ranks */
    int gone, met;      /* ranks */
    uint64_t scheduled; /* deliveries so far */
};

/* ---- the road ---- */

/* The next chunk of a message leaves, or waits for its turn. Gives way. */
void sgp_road_send(flow_t *flow, delivery_t *delivery);

/* The oldest that has arrived at a rank, or NULL. Not those at line rate. */
delivery_t *sgp_road_take(rank_t *rank);

/* When the last actor ends, so do the carriers. Gives way. */
void sgp_road_close(sgp_simulated_t *cluster);

/* What simulated.c does for it: wakes whoever of a rank waits for arrivals (gives way), and drops one of a message's
 * references. */
void sgp_simulated_arrived(rank_t *receiver);
void sgp_simulated_drop(message_t *message);

/* ---- at line rate (schedule.c) ---- */

/* Leaves behind what its sender has sent before, if it takes turns, or else at once. Gives way. */
void sgp_schedule_send(delivery_t *delivery, bool turns);

/* When the first of those on their way to the rank is there, in nanoseconds; UINT64_MAX: there is none. */
uint64_t sgp_schedule_next(const rank_t *rank);

/* Takes the first of them, arrived or not; NULL: there is none. */
delivery_t *sgp_schedule_take(rank_t *rank);

/* What simulated.c does for it: wakes whoever of a rank sleeps for longer than until then. Gives way. */
void sgp_simulated_expect(rank_t *receiver, uint64_t arrives);

/* ---- of simulated.c, for cluster.c ---- */

extern const sgp_transport_ops_t sgp_simulated_ops;

/* An actor that is no carrier has come to its end; with the last one the simulation has. Gives way. */
void sgp_simulated_end_actor(sgp_simulated_t *cluster);

#endif
