/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine of a rank's two contexts, the first and the agent (transport.h): each works, sleeps or has ended, and
 * wakes the other. Called by transports alone: loopback, simulated, and agent.h for shm and mpi. It never blocks itself:
 * the owner supplies the functions by which a context sleeps and wakes, and makes these calls under a lock of its own if
 * its contexts run at the same time. */
#ifndef SGP_TRANSPORT_CONTEXTS_H
#define SGP_TRANSPORT_CONTEXTS_H

#include <sgp/status.h>

#include <stdbool.h>
#include <stdint.h>

typedef enum sgp_context_state {
    SGP_CONTEXT_WORKS,
    SGP_CONTEXT_WAITS,  /* in wait */
    SGP_CONTEXT_PAUSES, /* in pause or agent_join: arrivals do not wake it */
    SGP_CONTEXT_ENDED   /* or was never started */
} sgp_context_state_t;

enum { SGP_CONTEXT_FIRST, SGP_CONTEXT_AGENT, SGP_CONTEXTS };

typedef struct sgp_context {
    sgp_context_state_t state;
    bool poked;        /* to wake for another reason than an arrival: room, a loss, a signal */
    uint64_t deadline; /* while it sleeps */
} sgp_context_t;

typedef struct sgp_contexts sgp_contexts_t;

typedef struct sgp_contexts_ops {
    /* The context that calls. */
    int (*self)(const sgp_contexts_t *contexts);

    /* The calling context sleeps: its state and deadline are set. Returns when it is woken or poked, or the deadline
     * has passed; may return earlier. The owner's lock, if any, is free meanwhile. */
    void (*sleep)(sgp_contexts_t *contexts, int self);

    /* Ends that sleep. Called for contexts that do not sleep as well. */
    void (*wake)(sgp_contexts_t *contexts, int which);
} sgp_contexts_ops_t;

/* Embedded. The owner may read the states; only these calls write them. */
struct sgp_contexts {
    const sgp_contexts_ops_t *ops;
    sgp_context_t of[SGP_CONTEXTS];
    void (*body)(void *context); /* of the agent */
    void *body_context;
};

/* The first context works; there is no agent. */
void sgp_contexts_init(sgp_contexts_t *contexts, const sgp_contexts_ops_t *ops);

static inline bool sgp_context_sleeps(const sgp_context_t *context) {
    return context->state == SGP_CONTEXT_WAITS || context->state == SGP_CONTEXT_PAUSES;
}

/* The calling context. */
const sgp_context_t *sgp_contexts_self(const sgp_contexts_t *contexts);

/* The calling context sleeps in `how` until ops.sleep returns. */
void sgp_contexts_sleep(sgp_contexts_t *contexts, sgp_context_state_t how, uint64_t deadline);

/* Wakes a context and marks it as working at once, before it runs again. */
void sgp_contexts_end_sleep(sgp_contexts_t *contexts, int which);

/* Wakes one context, or both, for something other than an arrival. */
void sgp_contexts_poke(sgp_contexts_t *contexts, int which);
void sgp_contexts_poke_all(sgp_contexts_t *contexts);

/* A chunk has arrived: wakes the contexts in wait. */
void sgp_contexts_arrived(sgp_contexts_t *contexts);

/* Whether the calling context has been poked; clears that. */
bool sgp_contexts_take_poke(sgp_contexts_t *contexts);

/* The transport's pause and signal, without the lock that the two contexts share. signal returns the context that
 * calls. */
void sgp_contexts_pause(sgp_contexts_t *contexts, uint64_t deadline);
int sgp_contexts_signal(sgp_contexts_t *contexts);

/* begin: the agent has been started. end: its body has returned; called by the agent. await: the first context sleeps
 * until then. */
void sgp_contexts_begin_agent(sgp_contexts_t *contexts, void (*body)(void *context), void *context);
void sgp_contexts_end_agent(sgp_contexts_t *contexts);
void sgp_contexts_await_agent(sgp_contexts_t *contexts);

#endif
