/* SPDX-License-Identifier: Apache-2.0 */
/* Where a node's time goes: spans of time of a few kinds, recorded as they end and read later, to be
 * drawn on one axis with those of the other nodes.
 *
 * A node works in up to two contexts, each with a track of its own. A context writes its own track
 * only and takes no lock. The spans of a track are in order of time and do not overlap: of a span
 * around calls that record theirs, what comes after the last of those is kept. Memory is taken once: what comes after it
 * is full is counted and not kept, so a trace shows the beginning of a long run.
 *
 * A NULL trace is one that is off: each call is then a comparison.
 *
 *   uint64_t t = sgp_trace_begin(trace);
 *   load();
 *   t = sgp_trace_end(trace, SGP_TRACE_COMPUTING, SGP_TRACE_DATA, t);
 *   compute();
 *   sgp_trace_end(trace, SGP_TRACE_COMPUTING, SGP_TRACE_FORWARD, t); */
#ifndef SGP_BASE_TRACE_H
#define SGP_BASE_TRACE_H

#include "base/clock.h"

#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, text) */
#define SGP_TRACE_KIND_MAP(X)                                                                      \
    X(DATA, "data")         /* a batch is put together */                                          \
    X(FORWARD, "forward")   /* the model, up to the loss */                                        \
    X(BACKWARD, "backward") /* its gradient */                                                     \
    X(DELAY, "delay")       /* slept on purpose: --compute-ms, --slow-node */                      \
    X(UPDATE, "update")     /* the local step; where it is fused with it, copying the message */   \
    X(PUSH, "push")         /* handing messages to the transport, room for them included */        \
    X(WAIT, "wait")         /* asleep until a message arrives, or for a receiver that is behind */ \
    X(ABSORB, "absorb")     /* adding up what arrived */                                           \
    X(EVALUATE, "evaluate") /* on the test set */                                                  \
    X(CHECKPOINT, "checkpoint") /* state to the disk */

typedef enum sgp_trace_kind {
#define SGP_TRACE_ENUM(name, text) SGP_TRACE_##name,
    SGP_TRACE_KIND_MAP(SGP_TRACE_ENUM)
#undef SGP_TRACE_ENUM
        SGP_TRACE_KINDS,
} sgp_trace_kind_t;

typedef enum sgp_trace_context {
    SGP_TRACE_COMPUTING, /* the caller of the mixer */
    SGP_TRACE_MESSAGES,  /* the transport's agent */
    SGP_TRACE_CONTEXTS,
} sgp_trace_context_t;

typedef struct sgp_trace_span {
    uint64_t start, end; /* of sgp_clock_now */
    uint32_t step;
    uint32_t kind; /* sgp_trace_kind_t */
} sgp_trace_span_t;

enum {
    SGP_TRACE_TOUCH_NS = 5000,    /* spans of one kind and step with a smaller gap become one */
    SGP_TRACE_SHORTEST_NS = 1000, /* a shorter one is not kept: no viewer would show it */
};

typedef struct sgp_trace sgp_trace_t;

/* Room for `spans` per track; pages that are not written cost nothing. SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_trace_create(size_t spans, sgp_trace_t **trace);

/* NULL is fine. */
void sgp_trace_destroy(sgp_trace_t *trace);

/* Records what of [start, end) lies behind the calling context's last span. trace is not NULL. */
void sgp_trace_add(sgp_trace_t *trace, sgp_trace_context_t context, sgp_trace_kind_t kind,
                   uint64_t start, uint64_t end);

/* ---- for the recording contexts ---- */

/* Now; 0 if the trace is off. */
static inline uint64_t sgp_trace_begin(const sgp_trace_t *trace) {
    return trace ? sgp_clock_now() : 0;
}

static inline void sgp_trace_span(sgp_trace_t *trace, sgp_trace_context_t context,
                                  sgp_trace_kind_t kind, uint64_t start, uint64_t end) {
    if (trace) sgp_trace_add(trace, context, kind, start, end);
}

/* A span from start to now. Returns now (0 if the trace is off), where the next may begin. */
static inline uint64_t sgp_trace_end(sgp_trace_t *trace, sgp_trace_context_t context,
                                     sgp_trace_kind_t kind, uint64_t start) {
    uint64_t now = sgp_trace_begin(trace);
    sgp_trace_span(trace, context, kind, start, now);
    return now;
}

/* The step of this context's spans from now on; 0 before. NULL is fine. */
void sgp_trace_step(sgp_trace_t *trace, sgp_trace_context_t context, uint64_t step);

/* The last span of a context can still grow, and is not seen by readers before the next one begins
 * or its context calls this. NULL is fine. */
void sgp_trace_flush(sgp_trace_t *trace, sgp_trace_context_t context);

/* ---- for one reader, at any time ---- */

/* The spans of a track from number `first` on, which stay as they are until destroy; returns how
 * many. */
size_t sgp_trace_read(const sgp_trace_t *trace, sgp_trace_context_t context, size_t first,
                      const sgp_trace_span_t **spans);

/* Spans of a track that found no room. */
uint64_t sgp_trace_dropped(const sgp_trace_t *trace, sgp_trace_context_t context);

/* "data", "forward", ...; never NULL, static. */
const char *sgp_trace_kind_name(sgp_trace_kind_t kind);

#endif
