/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated cluster's data: ranks, their links, and the messages between them; and the start and end of SimGrid.
 * Included by the files of transport/simulated alone; its functions never send, wait or wake a rank. */
#ifndef SGP_TRANSPORT_SIMULATED_CLUSTER_H
#define SGP_TRANSPORT_SIMULATED_CLUSTER_H

#include "transport/contexts.h"
#include "transport/simulated/simgrid_binding.h"
#include "transport/simulated/simulated.h" /* its options alone */

typedef struct rank rank_t;

/* A message with all of its chunks and deliveries: one block of memory, allocated when the message begins, so that no
 * later step can fail. */
typedef struct message message_t;

/* A message on its way to one receiver. Flows take turns on the links, as over tcp (transport/tcp/scheduler.h). */
enum { OUT, IN, ENDS };

typedef struct flow {
    message_t *message;
    int dst;
    bool waits[ENDS]; /* for the sender's link out, for the receiver's link in; in the lists of */
    struct flow *next[ENDS], *previous[ENDS];
    bool gone;          /* an elastic sender has given the receiver up: chunks are dropped */
    bool passes, moves; /* it has its turn; one of its chunks is being transferred */
    size_t left;        /* chunks that have not arrived */
    struct delivery *held, **last_held; /* chunks that wait for the turn, oldest first */
} flow_t;

/* One chunk on its way to one receiver. */
typedef struct delivery {
    struct delivery
        *next; /* in the flow's list, the list of pending transfers, or the receiver's queue */
    flow_t *flow;
    message_t *message;
    const void *payload;
    int dst;
    double bytes;             /* simulated, of the payload */
    uint64_t arrives, number; /* at line rate: arrival in ns; order among equal arrivals */
    struct delivery *child;   /* in the heap, with next */
    uint32_t record;          /* the sender's (outstanding.h) */
    bool received;            /* and not released */
    bool given_up;            /* received by a rank that is gone: it counts no more */
    unsigned char header[SGP_HEADER_BYTES];
} delivery_t;

struct message {
    message_t *next, *previous; /* in the list of all: a sender can abandon one */
    rank_t *sender;
    uint64_t room;  /* that it takes at its sender, in chunks */
    int references; /* deliveries not released, and one for the writer */
    int pins;       /* deliveries that were given up, and may still be released */
    int destinations;
    delivery_t *unused;
    unsigned char *places; /* of all chunks */
    size_t stride;         /* bytes from one to the next */
    unsigned char *place;  /* of the current one */
    size_t place_bytes;
    uint64_t step;
    bool waits_its_turn; /* a vector does; the group's own messages do not */
    flow_t *flows;       /* (destinations) */
    delivery_t deliveries[];
};

/* A rank's link out, or its link in. */
typedef struct link {
    uint64_t step; /* of the flows that pass */
    int passing;
    flow_t *first, *last; /* waiting flows, oldest first */
} link_t;

typedef enum rank_state { RANK_WORKS, RANK_LEFT, RANK_LOST } rank_state_t;

/* A context of a rank as an actor. */
typedef struct actor {
    rank_t *rank;
    void *semaphore; /* where it sleeps */
    bool woken;      /* the semaphore was released since the actor fell asleep */
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
    double busy_until;         /* of the link out, at line rate; seconds */
    uint64_t in_use;           /* of room, in chunks */
    link_t links[ENDS];
    bool wants_room;
    bool locked;   /* by one of the two contexts, which does not yield meanwhile */
    bool signaled; /* by the holder of the lock */
    double sent;   /* simulated bytes */
    void (*body)(sgp_transport_t *transport, void *context);
    void *body_context;
};

struct sgp_simulated {
    sgp_simulated_options_t options;
    const sgp_simgrid_binding_t *grid;
    rank_t *ranks; /* (size) */
    message_t *messages;
    /* Pending transfers, oldest first, and the pool of actors that run them: each transfers one delivery at a time. */
    delivery_t *waiting, **last_waiting;
    void *work;
    int idle, transfers;
    int living;           /* actors, without those of transfers */
    sgp_fates_t *fates;   /* the same for all ranks */
    int gone, at_barrier; /* ranks that have left or are lost; that wait in sgp_simulated_barrier */
    uint64_t scheduled;   /* deliveries at line rate so far */
};

/* Loads SimGrid's module. As sgp_simulated_load. */
sgp_status_t sgp_cluster_load(const sgp_simgrid_binding_t **grid);

/* Starts SimGrid and allocates the ranks, which the caller initialises. Sets *cluster only on success. Errors as
 * sgp_simulated_create. */
sgp_status_t sgp_cluster_create(const sgp_simulated_options_t *options, sgp_simulated_t **cluster);
void sgp_cluster_destroy(sgp_simulated_t *cluster);

/* Simulated nanoseconds. */
uint64_t sgp_cluster_now(const sgp_simulated_t *cluster);

#endif
