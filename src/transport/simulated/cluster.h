/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated transport's own: messages, ranks, and the road between them. */
#ifndef SGP_TRANSPORT_SIMULATED_CLUSTER_H
#define SGP_TRANSPORT_SIMULATED_CLUSTER_H

#include "transport/contexts.h"
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

/* A context of a rank as an actor. */
typedef struct actor {
    rank_t *rank;
    void *semaphore; /* where it sleeps */
    bool woken;      /* it was released since the actor fell asleep */
} actor_t;

struct rank {
    sgp_transport_t transport; /* first: a transport is a rank */
    sgp_simulated_t *cluster;
    rank_state_t state;
    int ended_for; /* the first rank whose loss it knew of when it was gone, or -1 */
    sgp_contexts_t contexts;
    actor_t actors[SGP_CONTEXTS];
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

/* SimGrid with its platform, and the ranks, whose contexts and operations are the caller's to set. Sets *cluster only on
 * success. Errors as sgp_simulated_create. */
sgp_status_t sgp_cluster_create(const sgp_simulated_options_t *options, sgp_simulated_t **cluster);
void sgp_cluster_destroy(sgp_simulated_t *cluster);

/* Simulated nanoseconds. */
uint64_t sgp_cluster_now(const sgp_simulated_t *cluster);

#endif
