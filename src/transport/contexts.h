/* SPDX-License-Identifier: Apache-2.0 */
/* The two contexts of a rank, its first one and its agent (transport.h): which works, sleeps or has ended, and how one
 * wakes the other. For transports alone: loopback, the simulated cluster, and agent.h. It knows no thread and no
 * actor: the owner supplies how a context sleeps and is woken, and protects these calls with its own lock if its
 * contexts run at the same time. */
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
    bool poked;        /* something other than an arrival changed: room, a loss, a signal */
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

/* Embedded; the owner reads the states, and only these calls write them. */
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

/* Ends the sleep of a context: it works from now on, before its own thread runs again. */
void sgp_contexts_end_sleep(sgp_contexts_t *contexts, int which);

/* Wakes one context, or both, for something other than an arrival. */
void sgp_contexts_poke(sgp_contexts_t *contexts, int which);
void sgp_contexts_poke_all(sgp_contexts_t *contexts);

/* A chunk has arrived: wakes the contexts in wait. */
void sgp_contexts_arrived(sgp_contexts_t *contexts);

/* Takes the pokes that the calling context has had, after a wait. */
bool sgp_contexts_take_poke(sgp_contexts_t *contexts);

/* The transport's pause and signal, without the lock that the two contexts share. signal returns the context that
 * calls. */
void sgp_contexts_pause(sgp_contexts_t *contexts, uint64_t deadline);
int sgp_contexts_signal(sgp_contexts_t *contexts);

/* The agent's life: it has been started; its body has returned (called by the agent); the first context sleeps until
 * then. */
void sgp_contexts_begin_agent(sgp_contexts_t *contexts, void (*body)(void *context), void *context);
void sgp_contexts_end_agent(sgp_contexts_t *contexts);
void sgp_contexts_await_agent(sgp_contexts_t *contexts);

#endif
