/* SPDX-License-Identifier: Apache-2.0 */
/* The contract between the algorithms and the transports that carry their messages. Called by
 * src/group and src/mixing; a transport knows no algorithm, and no file of this room calls one
 * above it.
 *
 * A transport has `capacity` seats, named by ranks. The first `size` of them have members at the
 * start; the others are absent (fates.h) until `open` gives them to newcomers, and so is a seat whose
 * member is gone. Without newcomers capacity is size. It moves messages (wire/header.h) from one rank to one or
 * several others, in chunks of at most `chunk_bytes` of payload, and it owns time and waiting:
 * nothing above it asks the operating system for either. Every transport promises:
 *  - A chunk arrives as it was sent, once. Chunks may arrive in any order, or (on transports that
 *    say so) never.
 *  - A sender depends on its receivers only for buffer space; send_begin returns SGP_ERR_AGAIN
 *    instead of waiting.
 *  - A sender commits the chunks of a message in any order, with any time and other messages in
 *    between. A message is unfinished until its last commit, and its sender may end before that:
 *    the chunks that were committed arrive, the others never do. A receiver learns of it by the
 *    sender's fate alone; the mixing decides what such a torn message means (mixing/push.h).
 *  - The ranks' promises (`prepare`) bound the chunks that can pile up at a receiver. Over a
 *    network a receiver enforces that: of each rank it holds at most as many chunks, arrived and
 *    not released, as it has ever promised itself, and at least 64. All ranks run the same program,
 *    so a rank that keeps its own promises never meets the bound. Further chunks stay in the
 *    connection until others are released or more is promised; they are not refused, since their
 *    sender may only be ahead, with a mixer that this rank is about to create. A rank that sends
 *    too much delays its own messages alone. Chunks that no call can ever ask for are refused and
 *    counted (inbox.h). Shared memory belongs to its sender, and mpi trusts its ranks: there a
 *    receiver enforces nothing.
 *  - A rank that waits sleeps.
 *  - Of an elastic transport the loss or departure of another rank ends no call: chunks to that rank
 *    are dropped, their room comes free, and take_back returns the weights of messages that it had
 *    not released (docs/membership.md, "The lock step"; transport/outstanding.h keeps the books).
 *  - A newcomer's incarnation is in the headers of its messages. Messages of an earlier member of its
 *    seat that still arrive are refused.
 *  - After `leave` a rank is gone in order. A rank that ends without it is lost, and so is a rank
 *    that is silent for the peer time limit, where the transport can tell. The others' `fates` show
 *    it within a second, whatever these ranks are doing, and `wait` returns it.
 *
 * One thread at a time makes the calls of a transport object; an agent (below) can be a second. */
#ifndef SGP_TRANSPORT_TRANSPORT_H
#define SGP_TRANSPORT_TRANSPORT_H

#include "base/flight.h"
#include "base/fork.h"
#include "transport/fates.h"
#include "transport/pace.h"
#include "transport/silence_limits.h"
#include "wire/header.h"

#include <sgp/status.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sgp_transport sgp_transport_t;
struct sgp_address; /* net/address.h */
struct sgp_visitor; /* transport/visitor.h */

/* A receiver of a message, and the push-sum weight sent to it; the payload is the same for all. */
typedef struct sgp_destination {
    int dst;
    double weight;
} sgp_destination_t;

/* A message of kind PUSH to a rank that was lost or left before it had released all chunks. */
typedef struct sgp_returned {
    int dst;
    uint64_t step; /* of the message's header */
    uint64_t id;   /* of the message; as its chunks' headers have it */
    double weight; /* that was sent to dst, as in sgp_destination_t */
} sgp_returned_t;

/* A message being sent, from send_begin to the commit of its last chunk or send_abandon. The caller
 * owns it; fields other than header are the transport's. */
typedef struct sgp_send {
    sgp_header_t header;         /* as given; offset and elements are those of the current chunk */
    const sgp_destination_t *to; /* (destinations) borrowed until the last commit, which reads the
                                    weights: they may be set until the first one */
    int destinations;
    void *slot;            /* of the current chunk */
    uint64_t left;         /* chunks that have not been committed */
    bool open;             /* the current chunk has a place and has not been committed */
    bool non_temporal;     /* better written with non-temporal stores (base/stream.h) */
    uint64_t paused_since; /* when keep_close began to wait; 0: it does not */
    bool impatient;        /* keep_close has waited in vain, and waits no more */
    uint32_t elsewhere; /* slots of earlier messages that receivers still have: another mixer's */
    uint32_t records;   /* outstanding.h: one for each destination; 0: none are kept */
} sgp_send_t;

/* An arrived chunk, where it lies: valid and unchanged until released. */
typedef struct sgp_chunk {
    sgp_header_t header; /* valid: it belongs to this run, and src is a rank */
    const void *payload; /* (header.elements) in header.encoding, 64-byte aligned */
    void *slot;          /* the transport's */
    uint32_t record;     /* the sender's (outstanding.h), for release */
} sgp_chunk_t;

/* What a newcomer is told of a seat: its latest member. */
typedef struct sgp_seat {
    sgp_fate_state_t
        state; /* PRESENT; LEFT: it is gone, whichever way; ABSENT: the seat was never used */
    uint32_t incarnation;
} sgp_seat_t;

typedef struct sgp_transport_counters {
    _Atomic uint64_t refused; /* chunks that arrived and were not accepted */
    _Atomic uint64_t resent;  /* chunks sent again, because they came damaged */
    uint64_t lost;            /* chunks dropped on purpose (tests) */
} sgp_transport_counters_t;

typedef struct sgp_transport_ops {
    const char *name;

    /* Nanoseconds, monotonic, from an arbitrary start. */
    uint64_t (*now)(sgp_transport_t *transport);

    /* Sleeps until a chunk arrived, room came free, a rank was lost or ended (has_ended), or
     * now() >= deadline; may return earlier. Returns at once if chunks are there. SGP_OK; SGP_ERR_TIMEOUT: the deadline
     * passed, and no chunk is there; SGP_ERR_PEER_LOST: `fates` has a loss, and no chunk is there
     * (those of the lost rank are received first).
     * Elastic: a loss is no error. Each event of `fates` (sgp_fates_events) ends one wait early, with
     * SGP_OK, so that the caller looks again at what it waits for. SGP_ERR_PEER_LOST: this rank itself
     * was ended (loopback.h, kill). */
    sgp_status_t (*wait)(sgp_transport_t *transport, uint64_t deadline);

    /* Whether the rank has left in order, and all that it has sent to this one can be received
     * now. Never blocks. NULL: the transport cannot tell. */
    bool (*has_ended)(sgp_transport_t *transport, int rank);

    /* Promises room for `messages` messages under way at a time, of `bytes` of payload each, in
     * addition to earlier promises. Not in the step path. SGP_ERR_NO_MEMORY, logged with the
     * figures: the machine has less memory, and nothing has changed. */
    sgp_status_t (*prepare)(sgp_transport_t *transport, size_t bytes, unsigned messages);

    /* Takes such a promise back. Messages under way are not affected, and the memory is kept: a
     * promise that was taken back can be made again. Not in the step path. */
    void (*unprepare)(sgp_transport_t *transport, size_t bytes, unsigned messages);

    /* Begins a message and takes the room for all its chunks, so that next and commit never wait.
     * Never blocks. SGP_ERR_AGAIN: no room now; wait, release chunks that are absorbed, try again.
     * SGP_ERR_PEER_LOST: a destination is lost. SGP_ERR_NO_MEMORY. On an error nothing is sent and
     * *send is undefined. header: kind, encoding, channel, step, count (> 0).
     * Elastic: a destination may be lost or gone, also all of them. Its chunks are dropped when they
     * are committed, and take_back returns its share. */
    sgp_status_t (*send_begin)(sgp_transport_t *transport, const sgp_header_t *header,
                               const sgp_destination_t *to, int destinations, sgp_send_t *send);

    /* The memory for the payload of the next chunk, whose place in the message is
     * send->header.offset and .elements; NULL: the message is complete. 64-byte aligned, owned by
     * the transport; the caller may write and read it until commit, which follows each next. */
    void *(*send_next)(sgp_transport_t *transport, sgp_send_t *send);

    /* The same for chunk `index`, from 0 on, of sgp_chunks_of the message; each once, in any order.
     * A message uses this or send_next, not both. NULL: a forked child (forked.h). */
    void *(*send_chunk)(sgp_transport_t *transport, sgp_send_t *send, uint64_t index);

    /* Sends the chunk. */
    void (*send_commit)(sgp_transport_t *transport, sgp_send_t *send);

    /* Instead of the commits that are missing, also between next and commit: gives their room back.
     * The message stays unfinished. Fine after the last commit. */
    void (*send_abandon)(sgp_transport_t *transport, sgp_send_t *send);

    /* Elastic: the next of this rank's messages in that channel that come back. Each pair of a message and
     * a destination is returned once, if the destination was lost or had left before it released all
     * chunks, and after the last commit: a message that is being committed then, or begins later, is
     * returned once it is whole; one that was abandoned never. The caller adds returned->weight to its
     * own weight. false: there is none (now). Never blocks, allocates nothing. More than 1,024 that
     * nobody takes: those of one channel and destination become one, with the sum of the weights, and
     * the step and id of the latest. NULL: the transport is not elastic. */
    bool (*take_back)(sgp_transport_t *transport, uint32_t channel, sgp_returned_t *returned);

    /* Elastic: gives a seat to a newcomer. From now on this rank sends to it and receives from it. The
     * seat is absent, or its last member is lost or has left; the callers that keep count of losses
     * (sgp_fates_changed) have seen that. Chunks of the earlier member that are here stay until they
     * are released, and its messages come back as before. address: where the newcomer listens, for
     * those that connect; NULL: it is not called, as by loopback. Waits for no other rank. Not in the
     * step path.
     * SGP_ERR_AGAIN: a message to the earlier member is unfinished; nothing has changed.
     * SGP_ERR_INVALID, logged: no such seat, this rank's own, a member is present, or the incarnation
     * is not later than that of the last member. NULL: the transport takes no newcomers. */
    sgp_status_t (*open)(sgp_transport_t *transport, int seat, uint32_t incarnation,
                         const struct sgp_address *address);

    /* From now on processes that ask to join the running group are let in as visitors, or refused (false, the default).
     * NULL: nobody can call this rank. */
    void (*admit)(sgp_transport_t *transport, bool admits);

    /* The next visitor; a new one ends a wait. false: none waits. Never blocks. Visitors that nobody takes stay until
     * admit(false) or destroy; a few wait at most, and others are refused. */
    bool (*take_visitor)(sgp_transport_t *transport, struct sgp_visitor *visitor);

    /* Where the present member of a seat listens, this rank's own included. false: it is not known. NULL: as admit. */
    bool (*address_of)(sgp_transport_t *transport, int seat, struct sgp_address *address);

    /* Elastic: nanoseconds since the last sign of that rank, give or take a heartbeat; 0: there was none yet. NULL: it cannot
     * tell. Any thread. */
    uint64_t (*silence)(sgp_transport_t *transport, int rank);

    /* Elastic: sets the fate of a present rank, as the owner has found it: LOST, after a silence that others confirm, or
     * because others say so; LEFT. Its chunks are treated as by a loss that the transport has noticed itself, for this rank
     * alone. No effect on a rank that is gone. NULL: not elastic. */
    void (*give_up)(sgp_transport_t *transport, int rank, sgp_fate_t fate, const char *why);

    /* Elastic: sets this rank's own fate now, if another one has given it up and uses the memory of its chunks again. NULL: chunks
     * that are here stay as they are, and the fate comes by a message. Any thread. */
    void (*look_at_self)(sgp_transport_t *transport);

    /* From now on this rank absorbs chunks as they arrive (true), or is busy elsewhere (false). May
     * be NULL. */
    void (*attend)(sgp_transport_t *transport, bool attends);

    /* Optional, after commit. A sender far ahead of its receivers writes to memory that has left
     * the cache, and they read it from there: both take much longer. So a transport may sleep here
     * for a moment while its receivers attend and are behind; it never waits for one that does not
     * attend. true: a chunk arrived meanwhile; receive and absorb it, and call again (two senders
     * that wait for each other to absorb would wait in vain). May be NULL. */
    bool (*keep_close)(sgp_transport_t *transport, sgp_send_t *send);

    /* The next arrived chunk. SGP_ERR_AGAIN: none. Never blocks. Chunks may be released in any
     * order, at any time. */
    sgp_status_t (*receive)(sgp_transport_t *transport, sgp_chunk_t *chunk);
    void (*release)(sgp_transport_t *transport, sgp_chunk_t *chunk);

    /* An agent is a second context of a rank (a thread, an actor of a simulation) that works at
     * messages while the first computes. The two agree on which of them makes the calls above (but
     * `now`); they share the data under lock, and wake each other:
     *
     * agent_start runs body(context) there. SGP_ERR_NO_MEMORY: no thread. agent_join returns when
     * body has; the first context has told it to end. One agent at a time. */
    sgp_status_t (*agent_start)(sgp_transport_t *transport, void (*body)(void *context),
                                void *context);
    void (*agent_join)(sgp_transport_t *transport);
    void (*lock)(sgp_transport_t *transport);
    void (*unlock)(sgp_transport_t *transport);

    /* Lock held: unlocks, sleeps until the other context signals or the deadline has passed, and
     * locks again. A signal since the last pause is not missed; may return without one. */
    void (*pause)(sgp_transport_t *transport, uint64_t deadline);

    /* Wakes the other context from `pause` and from `wait`. */
    void (*signal)(sgp_transport_t *transport);

    /* The sum over all ranks, in place, by the library that carries the messages: all ranks call
     * it, with no other call of theirs in between. The order of addition, so the bits, and the way
     * of waiting are the library's; an agent of this process waits meanwhile. SGP_ERR_SYSTEM,
     * logged. NULL: there is no such library. */
    sgp_status_t (*sum)(sgp_transport_t *transport, float *values /* (count) */, size_t count);

    /* A file descriptor for poll, made by the first call: readable once something has happened since
     * the last rearm that could end a wait or a pause of the first context. -1, logged: no memory.
     * NULL: it has none. rearm: not readable any more, before the caller looks for anything. */
    int (*descriptor)(sgp_transport_t *transport);
    void (*rearm)(sgp_transport_t *transport);

    /* This rank sends no more; all committed chunks stay deliverable. Sleeps until the others have
     * received them or are gone, or the deadline has passed. A message that is unfinished by then stays
     * so: its receivers see this rank leave in order, and have to give the message up. */
    void (*leave)(sgp_transport_t *transport, uint64_t deadline);

    /* Instead of leave, before destroy: the others are to read that this rank ends on purpose, as far
     * as that costs no wait. NULL: they see that it has ended. */
    void (*abort)(sgp_transport_t *transport);

    void (*destroy)(sgp_transport_t *transport);
} sgp_transport_ops_t;

/* The names of a transport's ranks in log lines, where a node is several processes: rank r is
 * process first + r * stride, and process p is worker p % workers of node p / workers. */
typedef struct sgp_ranks {
    int first, stride;
    int workers; /* of each node; 0, 1: rank r is node r */
} sgp_ranks_t;

typedef struct sgp_rank_name {
    char text[48];
} sgp_rank_name_t;

/* Embedded as the first member of every transport. */
struct sgp_transport {
    const sgp_transport_ops_t *ops;
    int rank;
    int size;             /* members at the start of the group */
    int capacity;         /* seats: arrays by rank have so many entries */
    uint32_t incarnation; /* of this rank: counts the uses of its seat, from 0 */
    uint64_t run;         /* messages of other runs are refused */
    size_t chunk_bytes;   /* largest payload of a chunk, a multiple of 64 */
    uint64_t promised;    /* chunks, by prepare */
    uint64_t next_id;     /* of this rank's next message */
    sgp_fates_t *fates;   /* of all ranks; owned by the transport, or by the hub of its ranks */
    atomic_bool failed;   /* an error that ends its use has been logged */
    /* Set by the owner before the first message, where can_be_elastic. false: the loss of a rank
     * ends the calls above with SGP_ERR_PEER_LOST, and a rank that ends after it is taken for a
     * consequence (SGP_CAUSE_FOLLOWED). */
    atomic_bool elastic;
    /* Set by the owner of an elastic one: the transport itself loses no rank for silence, and is told by give_up. Deaths that
     * are certain it notes as before. */
    atomic_bool confirms;
    sgp_pace_t pace; /* of an elastic one: sgp_transport_at */
    _Atomic uint64_t
        digest;           /* of the owner's view, in its headers and heartbeats; set by the owner */
    uint32_t events_seen; /* of fates, by wait */
    struct sgp_outstanding *outstanding; /* NULL: no message was begun; outstanding.h */
    bool virtual_time;                   /* its clock stands still while its ranks work */
    bool
        one_thread; /* its ranks are contexts of one thread: their calls are not left in the middle */
    bool
        takes_turns; /* messages share links, and one that has begun keeps others waiting: it is better begun when most of
                         its chunks are there */
    sgp_ranks_t ranks; /* set by the transport's owner; zeros are fine */
    sgp_transport_counters_t counters;
    sgp_flight_t *flight; /* the owner's; NULL: off */
    sgp_fork_hook_t fork; /* forked.h */
};

static inline uint64_t sgp_transport_now(sgp_transport_t *t) {
    return t->ops->now(t);
}
/* The mixing begins that step: its number travels with the heartbeats, and from here on a thread that neither waits nor
 * begins another step hangs (pace.h). No effect unless the transport is elastic. */
static inline void sgp_transport_at(sgp_transport_t *t, uint64_t step) {
    if (t->elastic) sgp_pace_step(&t->pace, step, sgp_transport_now(t));
}

/* A collective call begins, or something else that takes as long as it takes: nobody calls this rank hung before its next
 * step. */
static inline void sgp_transport_rest(sgp_transport_t *t) {
    if (t->elastic) sgp_pace_rest(&t->pace);
}

/* As ops->wait. Inside of a public call (base/call.h) it may return to the caller's caller in between, with nothing
 * locked; SGP_ERR_INTERRUPTED: that call is being cancelled. */
sgp_status_t sgp_transport_wait(sgp_transport_t *transport, uint64_t deadline);
/* As ops->has_ended. Two atomic loads as long as no rank is gone. */
static inline bool sgp_transport_has_ended(sgp_transport_t *t, int rank) {
    if (sgp_fates_found_gone(t->fates, rank)) return true;
    return sgp_fates_changes(t->fates) > 0 && t->ops->has_ended && t->ops->has_ended(t, rank);
}
static inline sgp_status_t sgp_transport_prepare(sgp_transport_t *t, size_t bytes,
                                                 unsigned messages) {
    return t->ops->prepare(t, bytes, messages);
}
static inline void sgp_transport_unprepare(sgp_transport_t *t, size_t bytes, unsigned messages) {
    t->ops->unprepare(t, bytes, messages);
}
static inline sgp_status_t sgp_transport_send_begin(sgp_transport_t *t, const sgp_header_t *header,
                                                    const sgp_destination_t *to, int destinations,
                                                    sgp_send_t *send) {
    return t->ops->send_begin(t, header, to, destinations, send);
}
static inline void *sgp_transport_send_next(sgp_transport_t *t, sgp_send_t *send) {
    return t->ops->send_next(t, send);
}
static inline void *sgp_transport_send_chunk(sgp_transport_t *t, sgp_send_t *send, uint64_t index) {
    return t->ops->send_chunk(t, send, index);
}
static inline void sgp_transport_send_commit(sgp_transport_t *t, sgp_send_t *send) {
    t->ops->send_commit(t, send);
}
static inline void sgp_transport_send_abandon(sgp_transport_t *t, sgp_send_t *send) {
    t->ops->send_abandon(t, send);
}
/* Whether `elastic` has an effect. mpi: false, since a death ends the job. */
static inline bool sgp_transport_can_be_elastic(const sgp_transport_t *t) {
    return t->ops->take_back != NULL;
}
static inline bool sgp_transport_take_back(sgp_transport_t *t, uint32_t channel,
                                           sgp_returned_t *returned) {
    return t->ops->take_back && t->ops->take_back(t, channel, returned);
}
/* As ops->open. SGP_ERR_UNSUPPORTED, logged: the transport takes no newcomers. */
sgp_status_t sgp_transport_open(sgp_transport_t *transport, int seat, uint32_t incarnation,
                                const struct sgp_address *address);
/* Whether processes can ask this rank to join the running group. */
static inline bool sgp_transport_can_admit(const sgp_transport_t *t) {
    return t->ops->admit != NULL;
}
static inline void sgp_transport_admit(sgp_transport_t *t, bool admits) {
    if (t->ops->admit) t->ops->admit(t, admits);
}
static inline bool sgp_transport_take_visitor(sgp_transport_t *t, struct sgp_visitor *visitor) {
    return t->ops->take_visitor && t->ops->take_visitor(t, visitor);
}
static inline bool sgp_transport_address_of(sgp_transport_t *t, int seat,
                                            struct sgp_address *address) {
    return t->ops->address_of && t->ops->address_of(t, seat, address);
}
/* As ops->silence; 0 where there is none. */
static inline uint64_t sgp_transport_silence(sgp_transport_t *t, int rank) {
    return t->ops->silence ? t->ops->silence(t, rank) : 0;
}
static inline void sgp_transport_give_up(sgp_transport_t *t, int rank, sgp_fate_t fate,
                                         const char *why) {
    if (t->ops->give_up) t->ops->give_up(t, rank, fate, why);
}
static inline void sgp_transport_look_at_self(sgp_transport_t *t) {
    if (t->ops->look_at_self) t->ops->look_at_self(t);
}
static inline void sgp_transport_attend(sgp_transport_t *t, bool attends) {
    if (t->ops->attend) t->ops->attend(t, attends);
}
static inline bool sgp_transport_keep_close(sgp_transport_t *t, sgp_send_t *send) {
    return t->ops->keep_close && t->ops->keep_close(t, send);
}
static inline sgp_status_t sgp_transport_receive(sgp_transport_t *t, sgp_chunk_t *chunk) {
    return t->ops->receive(t, chunk);
}
static inline void sgp_transport_release(sgp_transport_t *t, sgp_chunk_t *chunk) {
    t->ops->release(t, chunk);
}
/* The first cause: sgp_fates_first_lost. */
static inline int sgp_transport_lost_peer(const sgp_transport_t *t) {
    return sgp_fates_first_lost(t->fates);
}
static inline sgp_status_t sgp_transport_agent_start(sgp_transport_t *t,
                                                     void (*body)(void *context), void *context) {
    return t->ops->agent_start(t, body, context);
}
static inline void sgp_transport_agent_join(sgp_transport_t *t) {
    t->ops->agent_join(t);
}
static inline void sgp_transport_lock(sgp_transport_t *t) {
    t->ops->lock(t);
}
static inline void sgp_transport_unlock(sgp_transport_t *t) {
    t->ops->unlock(t);
}
/* As ops->pause, and as sgp_transport_wait; the lock is given up for that and taken again. */
sgp_status_t sgp_transport_pause(sgp_transport_t *transport, uint64_t deadline);
static inline void sgp_transport_signal(sgp_transport_t *t) {
    t->ops->signal(t);
}
static inline void sgp_transport_leave(sgp_transport_t *t, uint64_t deadline) {
    t->ops->leave(t, deadline);
}
static inline void sgp_transport_abort(sgp_transport_t *t) {
    if (t->ops->abort) t->ops->abort(t);
}
/* NULL is fine. */
static inline void sgp_transport_destroy(sgp_transport_t *t) {
    if (t) t->ops->destroy(t);
}

/* "node 2", "worker 1 of node 2". Returns name->text. */
const char *sgp_transport_name(const sgp_transport_t *transport, int rank, sgp_rank_name_t *name);

/* For a caller that ends because a rank is lost: returns SGP_ERR_PEER_LOST, with a last error such
 * as "node 2 is lost (its process ended), while waiting for room". Only the first caller logs it,
 * not the others (an agent, the next step). doing: the text after "while"; NULL: none. */
sgp_status_t sgp_transport_fail_lost(sgp_transport_t *transport, const char *doing);

/* For implementations. */

/* For has_ended, where a rank's fate is set after its last chunk can be received. */
bool sgp_transport_has_left(sgp_transport_t *transport, int rank);

/* Sets the fate of a rank in `fates`, and logs a loss as information: the transport's caller
 * decides whether it is a failure. false: it was known. */
bool sgp_transport_note(sgp_transport_t *transport, int rank, sgp_fate_t fate, const char *why);

/* For open: whether the seat may be given to that incarnation, as far as the fates and the messages
 * under way tell. The errors of open. */
sgp_status_t sgp_transport_check_open(sgp_transport_t *transport, int seat, uint32_t incarnation);

/* For send_begin: a destination is lost, and the transport is not elastic. Cheap as long as no rank is
 * lost. */
bool sgp_transport_any_lost(const sgp_transport_t *transport, const sgp_destination_t *to,
                            int destinations);

/* For wait: a rank is lost, which ends the waiting of a transport that is not elastic. */
static inline bool sgp_transport_loss_ends_wait(const sgp_transport_t *t) {
    return !t->elastic && sgp_transport_lost_peer(t) >= 0;
}

/* For wait of an elastic transport: an event of the fates has not ended a wait yet; it has now. */
static inline bool sgp_transport_take_event(sgp_transport_t *t) {
    uint32_t events = sgp_fates_events(t->fates);
    bool is_new = t->elastic && events != t->events_seen;
    t->events_seen = events;
    return is_new;
}

/* Completes a header for sending: src, run and id. Call sgp_send_advance or sgp_send_select for the
 * first chunk. */
void sgp_send_init(sgp_transport_t *transport, const sgp_header_t *header,
                   const sgp_destination_t *to, int destinations, sgp_send_t *send);

/* Moves send->header to the next chunk; the first call gives the first one. false: there is
 * none. */
bool sgp_send_advance(const sgp_transport_t *transport, sgp_send_t *send);

/* Moves it to chunk `index`. */
void sgp_send_select(const sgp_transport_t *transport, sgp_send_t *send, uint64_t index);

/* For commit, and for abandon. The room that is left: chunks without a place, and the open one if there
 * is one. */
static inline void sgp_send_committed(sgp_send_t *send) {
    send->open = false;
    send->left--;
}
static inline void sgp_send_abandoned(sgp_send_t *send) {
    send->open = false;
    send->left = 0;
}

/* The chunks that prepare promises for these messages; UINT64_MAX / 2: too many to count. */
uint64_t sgp_chunks_of_room(const sgp_transport_t *transport, size_t bytes, unsigned messages);

/* For prepare: whether the machine has memory for `chunks` of this transport in all.
 * SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_transport_check_room(const sgp_transport_t *transport, uint64_t chunks);

/* Chunks of a message of `count` elements. */
size_t sgp_chunks_of(const sgp_transport_t *transport, sgp_encoding_t encoding, uint64_t count);

/* Decodes and validates an arrived header (run id, rank, size of the payload). SGP_ERR_REFUSED:
 * counted and logged. */
sgp_status_t sgp_transport_accept(sgp_transport_t *transport, const unsigned char *bytes,
                                  sgp_header_t *header);

#endif
