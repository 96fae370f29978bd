/* SPDX-License-Identifier: Apache-2.0 */
/* The flight recorder: the last events of a node in one group, in memory, always on. It tells after a failure, or while a run hangs, who
 * waited for whom. group/flight_file.h writes it down, and `sgp flight` reads it.
 *
 * A node works in up to two contexts, and each has a ring of its own: the caller of the public calls, and whoever has the
 * use of the inbox (the caller, or a progress thread). A new event takes the place of the oldest one. Recording takes no lock
 * and allocates nothing: a clock reading and four stores, for each message and not for each chunk. A NULL recorder is one that is off:
 * each call is then a comparison.
 *
 * What a context waits for is kept beside its ring, however long ago it began. A wait that goes on after a look at what has
 * arrived is the same one, as long as it is for the same thing.
 *
 * Any thread may read at any time (sgp_flight_read, sgp_flight_waits): an event that is being written meanwhile is left out. */
#ifndef SGP_BASE_FLIGHT_H
#define SGP_BASE_FLIGHT_H

#include "base/clock.h"

#include <sgp/status.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SGP_FLIGHT_EVENTS = 4096 /* of a ring; a power of 2 */ };

/* X(name, text, what peer, step, detail and number are) */
#define SGP_FLIGHT_KIND_MAP(X)                                                                     \
    X(CALL, "call")         /* number: the public call's name, a static string */                  \
    X(RETURN, "return")     /* the same; detail: its status, negated */                            \
    X(STEP, "step")         /* step begins; number: its first round */                             \
    X(BEGUN, "begun")       /* message to peer; detail: sgp_kind_t; number: its id */              \
    X(SENT, "sent")         /* all of it has left */                                               \
    X(ARRIVING, "arriving") /* the first of several chunks from peer; as BEGUN */                  \
    X(ARRIVED, "arrived")   /* the last chunk */                                                   \
    X(ABSORBED, "absorbed") /* peer's message of that round */                                     \
    X(LATE, "late")         /* the same, after its own step */                                     \
    X(TORN, "torn")         /* peer's message of that round is given up */                         \
    X(RETURNED, "returned") /* number: messages whose weight came back, as their receiver died */  \
    X(REFUSED, "refused")   /* a chunk from peer; detail: sgp_kind_t */                            \
    X(DROPPED, "dropped")   /* number: chunks and connections that the transport refused */        \
    X(RESENT, "resent")     /* number: chunks sent again */                                        \
    X(ASKED, "asked")       /* peer, what became of its push of that round (WAIT) */               \
    X(ANSWERED, "answered") /* peer's question of that round (PASSED); number: the answer */       \
    X(TOLD, "told")         /* by peer; as ANSWERED */                                             \
    X(WAIT, "wait")         /* begins; detail: sgp_flight_what_t */                                \
    X(WAITED, "waited")     /* ended; number: when it began */                                     \
    X(SILENT, "silent")     /* peer */                                                             \
    X(HEARD, "heard")       /* peer is trusted again */                                            \
    X(JOINED, "joined")     /* peer; number: its incarnation, as below */                          \
    X(LEFT, "left")                                                                                \
    X(LOST, "lost") /* detail: sgp_cause_t */                                                      \
    X(VIEW, "view") /* of the members has changed: step: its version; number: live members */      \
    X(STRUCK_OFF, "struck off") /* this node, by the others */

typedef enum sgp_flight_kind {
#define SGP_FLIGHT_ENUM(name, text) SGP_FLIGHT_##name,
    SGP_FLIGHT_KIND_MAP(SGP_FLIGHT_ENUM)
#undef SGP_FLIGHT_ENUM
        SGP_FLIGHT_KINDS,
} sgp_flight_kind_t;

/* X(name, text): what a wait is for. */
#define SGP_FLIGHT_WHAT_MAP(X)                                                                     \
    X(OTHER, "other")                                                                              \
    X(MESSAGE, "message")       /* peer's of that round */                                         \
    X(ROOM, "room")             /* to send to peer the message of that round; peer -1: several */  \
    X(PARTS, "parts")           /* of an all-reduce, of that number */                             \
    X(COLLECTIVE, "collective") /* peer's message of the group's collective call of that number */ \
    X(CHAIN, "chain")           /* peer's part of a broadcast */                                   \
    X(AGREEMENT, "agreement")   /* the collective call of that number, in an elastic group */      \
    X(SERVER, "server")         /* the parameters of the server */                                 \
    X(EXCHANGE, "exchange")     /* peer's half of an exchange of a pair */                         \
    X(REST, "rest")             /* peer, or others, to make their last step before an average */   \
    X(STATE, "state")           /* a newcomer: the vector of a member */                           \
    X(QUORUM, "quorum")         /* enough members to go on */                                      \
    X(HALT, "halt")             /* the other nodes to halt for a checkpoint */                     \
    X(THREAD, "thread")         /* this node's own progress thread */

typedef enum sgp_flight_what {
#define SGP_FLIGHT_ENUM(name, text) SGP_FLIGHT_FOR_##name,
    SGP_FLIGHT_WHAT_MAP(SGP_FLIGHT_ENUM)
#undef SGP_FLIGHT_ENUM
        SGP_FLIGHT_WHATS,
} sgp_flight_what_t;

/* "call", "begun", ...; "message", ...; never NULL, static. */
const char *sgp_flight_kind_name(unsigned kind);
const char *sgp_flight_what_name(unsigned what);

typedef enum sgp_flight_context {
    SGP_FLIGHT_CALLER,
    SGP_FLIGHT_MESSAGES,
    SGP_FLIGHT_CONTEXTS,
} sgp_flight_context_t;

typedef struct sgp_flight_event {
    uint64_t time; /* of sgp_clock_now */
    uint64_t step, number;
    int peer;         /* rank; -1: none, or several */
    uint32_t channel; /* of a message: its low 24 bits */
    uint8_t kind, detail;
} sgp_flight_event_t;

/* What a context waits for. */
typedef struct sgp_flight_want {
    sgp_flight_what_t what;
    int peer; /* -1: nobody in particular */
    uint64_t step;
} sgp_flight_want_t;

typedef struct sgp_flight_wait {
    sgp_flight_want_t want;
    uint64_t since; /* 0: it has never waited */
    uint64_t woke;  /* when it last looked at what has arrived; 0: not yet */
    bool asleep;
} sgp_flight_wait_t;

/* Of another rank, since the start. Times are 0 for what has not happened. */
typedef struct sgp_flight_peer {
    _Atomic uint64_t arrived, arrived_step; /* its last whole push */
    _Atomic uint64_t sent, sent_step;       /* the last one to it */
    _Atomic uint64_t control;               /* number of its last collective message */
    _Atomic bool missing;                   /* sgp_flight_miss */
} sgp_flight_peer_t;

/* As four words, so that a reader beside the writer sees no word in halves; the time is written last. */
typedef struct sgp_flight_slot {
    _Atomic uint64_t time; /* 0: never written, or being written */
    _Atomic uint64_t about, step, number;
} sgp_flight_slot_t;

/* Fields are private. */
typedef struct sgp_flight_track {
    _Atomic uint64_t next; /* events so far */
    _Atomic uint32_t turn; /* of the wait: odd while it is being written */
    _Atomic uint64_t about, step, since, woke;
    _Atomic bool asleep;
    sgp_flight_slot_t slots[SGP_FLIGHT_EVENTS];
} sgp_flight_track_t;

typedef struct sgp_flight {
    int ranks;
    _Atomic uint64_t steps;    /* begun by the mixer: 1 + the last one's number */
    _Atomic uint64_t returned; /* when the last public call ended; 0: none has */
    _Atomic uintptr_t call;    /* the name of the public call that runs; 0: none */
    _Atomic uint64_t called;   /* when it began */
    sgp_flight_wait_t failed;  /* the first wait that ended with an error; read once has_failed */
    atomic_bool has_failed;
    sgp_flight_track_t tracks[SGP_FLIGHT_CONTEXTS];
    sgp_flight_peer_t peers[]; /* (ranks) */
} sgp_flight_t;

/* For a group of so many seats. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_flight_create(int ranks, sgp_flight_t **flight);

/* NULL is fine. */
void sgp_flight_destroy(sgp_flight_t *flight);

/* ---- recording; flight may be NULL ---- */

static inline uint64_t sgp_flight_about(unsigned kind, unsigned detail, int peer,
                                        uint32_t channel) {
    return (uint64_t)(kind & 0xff) | (uint64_t)(detail & 0xff) << 8 |
           (uint64_t)((uint32_t)(peer + 1) & 0xffffff) << 16 | (uint64_t)(channel & 0xffffff) << 40;
}

/* Several writers of a ring do not overwrite each other. */
static inline void sgp_flight_store(sgp_flight_t *flight, sgp_flight_context_t context,
                                    uint64_t time, uint64_t about, uint64_t step, uint64_t number) {
    sgp_flight_track_t *track = &flight->tracks[context];
    uint64_t at = atomic_fetch_add_explicit(&track->next, 1, memory_order_relaxed);
    sgp_flight_slot_t *slot = &track->slots[at % SGP_FLIGHT_EVENTS];
    atomic_store_explicit(&slot->time, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&slot->about, about, memory_order_relaxed);
    atomic_store_explicit(&slot->step, step, memory_order_relaxed);
    atomic_store_explicit(&slot->number, number, memory_order_relaxed);
    atomic_store_explicit(&slot->time, time, memory_order_release);
}

static inline void sgp_flight_note(sgp_flight_t *flight, sgp_flight_context_t context,
                                   sgp_flight_kind_t kind, int peer, uint64_t step,
                                   uint64_t number) {
    if (flight)
        sgp_flight_store(flight, context, sgp_clock_now(), sgp_flight_about(kind, 0, peer, 0), step,
                         number);
}

/* Of the messages' context, with a detail. */
static inline void sgp_flight_detail(sgp_flight_t *flight, sgp_flight_kind_t kind, unsigned detail,
                                     int peer, uint64_t step, uint64_t number) {
    if (flight)
        sgp_flight_store(flight, SGP_FLIGHT_MESSAGES, sgp_clock_now(),
                         sgp_flight_about(kind, detail, peer, 0), step, number);
}

/* The caller begins a step of the mixing. */
void sgp_flight_step(sgp_flight_t *flight, uint64_t step, uint64_t round);

/* Around a public call. name: static. */
void sgp_flight_call(sgp_flight_t *flight, const char *name);
void sgp_flight_return(sgp_flight_t *flight, const char *name, sgp_status_t status);

/* Before and after a sleep. now: of sgp_clock_now, or a clock that goes with it. status: of the sleep. */
void sgp_flight_sleep(sgp_flight_t *flight, sgp_flight_context_t context,
                      const sgp_flight_want_t *want, uint64_t now);
void sgp_flight_wake(sgp_flight_t *flight, sgp_flight_context_t context, uint64_t now,
                     sgp_status_t status);

/* Before a sleep for AGREEMENT or PARTS, of each rank: whether it is waited for. */
static inline void sgp_flight_miss(sgp_flight_t *flight, int rank, bool missing) {
    if (flight) atomic_store_explicit(&flight->peers[rank].missing, missing, memory_order_relaxed);
}

/* ---- reading; any thread ---- */

/* The events of a ring, in the order of their recording; events: (SGP_FLIGHT_EVENTS). Returns how many; *before: so many came
 * before them. */
size_t sgp_flight_read(const sgp_flight_t *flight, sgp_flight_context_t context,
                       sgp_flight_event_t *events, uint64_t *before);

sgp_flight_wait_t sgp_flight_waits(const sgp_flight_t *flight, sgp_flight_context_t context);

#endif
