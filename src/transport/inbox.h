/* SPDX-License-Identifier: Apache-2.0 */
/* The one object through which a mixer or a group sends and receives: it sits on a transport.
 *
 * Receiving: a transport delivers chunks in the order of arrival; an algorithm needs those of one step in the order of
 * senders, a barrier only its own. The inbox keeps arrived chunks where they lie and finds each by its key.
 * Sending: begin waits for room and takes in arrivals meanwhile, as the receivers may be waiting for the same. Then next
 * and commit for each chunk.
 * Not thread-safe.
 *
 * On an elastic transport (transport.h) the loss or departure of another rank is no error of any call: a wait returns
 * SGP_OK early, once for each event of the transport's fates, and its caller decides whether to wait on; a call that
 * waits for room goes on, since the room of the lost rank comes free. SGP_ERR_PEER_LOST then means that this rank was
 * ended.
 *
 * It refuses, releases and counts chunks that no call can ever ask for:
 *  - a duplicate of a chunk that it holds;
 *  - of a channel that was dropped, or more than 65,536 channels beyond the last that was opened;
 *  - more than 2^32 steps beyond the last that was asked for: no sender has room for so many.
 * It keeps all others. A sender may be ahead, even with a mixer that this rank has not created yet; the transport bounds
 * the number of its chunks (transport.h). */
#ifndef SGP_TRANSPORT_INBOX_H
#define SGP_TRANSPORT_INBOX_H

#include "transport/transport.h"

typedef struct sgp_inbox sgp_inbox_t;

/* Identifies a chunk. */
typedef struct sgp_inbox_key {
    uint32_t channel;
    sgp_kind_t kind;
    int src;
    uint64_t step;
    uint64_t offset; /* of the chunk's first element */
} sgp_inbox_key_t;

/* transport: borrowed. Sets *inbox only on success. SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_inbox_create(sgp_transport_t *transport, sgp_inbox_t **inbox);

/* Releases what it holds. NULL is fine. */
void sgp_inbox_destroy(sgp_inbox_t *inbox);

sgp_transport_t *sgp_inbox_transport(sgp_inbox_t *inbox);

/* Takes in every chunk that has arrived. Never blocks. Without memory the rest stays with the transport until a later
 * call. */
void sgp_inbox_collect(sgp_inbox_t *inbox);

/* The chunk of that key, or NULL if it has not arrived; may take in chunks. Valid until sgp_inbox_release. Never
 * blocks. */
sgp_chunk_t *sgp_inbox_find(sgp_inbox_t *inbox, const sgp_inbox_key_t *key);

/* The same among the chunks that were taken in. */
sgp_chunk_t *sgp_inbox_peek(sgp_inbox_t *inbox, const sgp_inbox_key_t *key);

/* Walks the chunks of the key's channel, kind and step, of any sender and offset, in the order of arrival: the one after
 * `chunk`, or the first for NULL; NULL: there are no more. Takes nothing in. */
sgp_chunk_t *sgp_inbox_next(sgp_inbox_t *inbox, const sgp_inbox_key_t *key, sgp_chunk_t *chunk);

/* Among the chunks of from->channel and from->kind: the first in the order (step, sender, offset), from (from->step,
 * from->src) on and before step `end`; NULL: there is none. Takes nothing in. Looks at every chunk that is held. */
sgp_chunk_t *sgp_inbox_lowest(sgp_inbox_t *inbox, const sgp_inbox_key_t *from, uint64_t end);

void sgp_inbox_release(sgp_inbox_t *inbox, sgp_chunk_t *chunk);

/* A mixer will ask for this channel. */
void sgp_inbox_open_channel(sgp_inbox_t *inbox, uint32_t channel);

/* The mixer of this channel is gone: releases its chunks, and refuses those that still arrive. */
void sgp_inbox_drop_channel(sgp_inbox_t *inbox, uint32_t channel);

/* Chunks taken in so far. Every find can take some in, also chunks that an earlier find has missed: a caller that looks
 * for several chunks remembers the number from before its first find. */
uint64_t sgp_inbox_taken_in(const sgp_inbox_t *inbox);

/* Before a call of the transport's own wait, which does not sleep while it holds chunks: takes in the chunks for which
 * there was no memory. SGP_ERR_NO_MEMORY: there is still none, and nothing was taken in beyond `since`; logged. */
sgp_status_t sgp_inbox_retry(sgp_inbox_t *inbox, uint64_t since);

/* Looks for an event that ends every wait of this node, such as another node's notice that the run is over. The waiting
 * context calls it before each sleep and at least ten times a second during one; `agent`: it is the transport's agent. Its
 * error, which it has logged, becomes the wait's. It may use the inbox, but not wait. */
typedef sgp_status_t (*sgp_inbox_watch_fn)(void *context, bool agent);

/* context: borrowed. watch NULL: no more. */
void sgp_inbox_set_watch(sgp_inbox_t *inbox, sgp_inbox_watch_fn watch, void *context);

/* Works at messages of one kind whatever this node waits for. sgp_inbox_look calls it before the watch if a chunk of that
 * kind was taken in since, if it returned true: work is left, such as an answer for which there was no room, or if it was
 * asked for (below). That of the kind VIEW is also due when a header has another digest of a view than the last one of its
 * sender, and at an event of the fates. It may use the inbox and send, but not wait. */
typedef bool (*sgp_inbox_service_fn)(void *context);

/* One for each kind. context: borrowed. service NULL: no more. */
void sgp_inbox_set_service(sgp_inbox_t *inbox, sgp_kind_t kind, sgp_inbox_service_fn service,
                           void *context);

/* The service of that kind is due at the next look. */
void sgp_inbox_call_service(sgp_inbox_t *inbox, sgp_kind_t kind);

/* And once this time has come: waits end for it. One time for each kind, the last that was set; UINT64_MAX: none. */
void sgp_inbox_set_alarm(sgp_inbox_t *inbox, sgp_kind_t kind, uint64_t time);

/* What the headers of a rank's chunks have told, and what was sent to it. */
typedef struct sgp_heard {
    uint64_t view;         /* the digest in the one taken in last */
    uint64_t push_step;    /* the highest step of a PUSH */
    uint32_t push_channel; /* of the channel of the latest PUSH */
    bool pushed;           /* there was one */
    bool sent;             /* a PUSH was sent to it */
    uint64_t bytes;        /* payload of the vectors that it has sent, so far */
} sgp_heard_t;

const sgp_heard_t *sgp_inbox_heard(const sgp_inbox_t *inbox, int rank);

/* Pushes were begun to these. */
void sgp_inbox_note_pushed(sgp_inbox_t *inbox, const sgp_destination_t *to, int destinations);

/* The seat has a new member, of which nothing has been heard and to which nothing was sent. Releases what the earlier one has
 * said without anybody taking it, from SGP_KIND_NOTICE on: the new one counts such messages from 1 again. */
void sgp_inbox_forget(sgp_inbox_t *inbox, int rank);

/* Chunks with another digest than the last one of their sender so far, those of sgp_heard_t.view. */
uint64_t sgp_inbox_views(const sgp_inbox_t *inbox);

/* From now on every look, and so every wait, ends with this error, which the caller has logged. Any thread. */
void sgp_inbox_end_waits(sgp_inbox_t *inbox, sgp_status_t status);
sgp_status_t sgp_inbox_ended(const sgp_inbox_t *inbox);

/* What the mixer of a channel is told of its chunks. Embedded in its state. */
typedef struct sgp_inbox_owner {
    uint32_t channel;
    /* The steps of the PUSH chunks taken in; UINT64_MAX and 0: of none. The owner may set them anew. */
    uint64_t lowest, highest;
    uint64_t late; /* nobody waits for PUSH chunks of steps before it; the owner's */
    /* A service (above) for the kinds WAIT and PASSED, and for late chunks; it may run on the agent. */
    sgp_inbox_service_fn serve;
    void *context; /* borrowed */
    bool due;
    struct sgp_inbox_owner *next;
} sgp_inbox_owner_t;

/* owner: borrowed until detach, with channel, serve and context set; counts chunks that are here already. detach: fine
 * for one that is not attached. */
void sgp_inbox_attach(sgp_inbox_t *inbox, sgp_inbox_owner_t *owner);
void sgp_inbox_detach(sgp_inbox_t *inbox, sgp_inbox_owner_t *owner);

/* Calls the services that are due, and the watch. SGP_OK where there is none. */
sgp_status_t sgp_inbox_look(sgp_inbox_t *inbox, bool agent);

/* Until when a sleep with that deadline may last before the watch is due again. */
uint64_t sgp_inbox_next_look(const sgp_inbox_t *inbox, uint64_t deadline);

/* Notices taken in so far; while the number stays the same there is no new one to find. */
uint64_t sgp_inbox_notices(const sgp_inbox_t *inbox);

/* The steps that a rank is known to have pushed: 1 + the latest step of which a chunk of a push was taken in, in the newest
 * channel that it has pushed in; 0: none is known. Any thread. */
uint64_t sgp_inbox_pushed(const sgp_inbox_t *inbox, int src);

/* Sleeps until more chunks are here than `since`, taken in or arrived, room came free, or the deadline passed; may return
 * earlier. An error is logged as "... waiting for" and `what`. SGP_ERR_TIMEOUT, SGP_ERR_PEER_LOST (after the last chunk
 * has been taken in), SGP_ERR_NO_MEMORY (arrived chunks cannot be taken in), or an error of the watch. */
sgp_status_t sgp_inbox_wait(sgp_inbox_t *inbox, uint64_t since, uint64_t deadline,
                            const char *what);

/* The same for chunks of one rank. An error is logged as "waiting for the ", `what` and "from node 2"; what: such as
 * "message of step 7". SGP_ERR_PEER_LOST also if that rank has left, and all that it has sent is taken in. */
sgp_status_t sgp_inbox_wait_for(sgp_inbox_t *inbox, int rank, uint64_t since, uint64_t deadline,
                                const char *what);

/* As sgp_inbox_wait, but the end of the time is no error. */
sgp_status_t sgp_inbox_doze(sgp_inbox_t *inbox, uint64_t since, uint64_t until, const char *what);

/* What the next of these sleeps is for, for the flight recorder; a caller that does not say so waits for something OTHER. Cheap, and
 * without effect where it does not sleep after all. */
void sgp_inbox_want(sgp_inbox_t *inbox, sgp_flight_what_t what, int peer, uint64_t step);

/* One sleep, without a look at anything before: until the transport has something, `until`, or the next look is due. rank: whose
 * chunks it waits for, or -1. *now: the time, before and after. SGP_OK; SGP_ERR_TIMEOUT: deadline has passed; the others of
 * sgp_transport_wait. For sgp_inbox_wait and those that do without it. */
sgp_status_t sgp_inbox_sleep(sgp_inbox_t *inbox, int rank, uint64_t until, uint64_t deadline,
                             uint64_t *now);

/* Begins a message, asleep until there is room. Errors as sgp_inbox_wait. */
sgp_status_t sgp_inbox_send_begin(sgp_inbox_t *inbox, const sgp_header_t *header,
                                  const sgp_destination_t *to, int destinations, uint64_t deadline,
                                  sgp_send_t *send);

/* The same without waiting. SGP_ERR_AGAIN: there is no room now. SGP_ERR_PEER_LOST: a destination is lost; logged. */
sgp_status_t sgp_inbox_send_try(sgp_inbox_t *inbox, const sgp_header_t *header,
                                const sgp_destination_t *to, int destinations, sgp_send_t *send);

/* The place for the next chunk's payload (transport.h), or NULL: the message is whole. */
void *sgp_inbox_send_next(sgp_inbox_t *inbox, sgp_send_t *send);

/* The place for chunk `index`, in any order (send_chunk in transport.h). */
void *sgp_inbox_send_chunk(sgp_inbox_t *inbox, sgp_send_t *send, uint64_t index);

/* The chunk leaves. */
void sgp_inbox_send_commit(sgp_inbox_t *inbox, sgp_send_t *send);

/* Instead of the commits that are missing: the message stays unfinished. */
void sgp_inbox_send_abandon(sgp_inbox_t *inbox, sgp_send_t *send);

/* After a commit: lets the receivers catch up for a moment where the transport wants that (keep_close in transport.h).
 * true: chunks arrived meanwhile and were taken in; absorb them, and call again. */
bool sgp_inbox_send_paced(sgp_inbox_t *inbox, sgp_send_t *send);

/* Nanoseconds spent asleep in sgp_inbox_wait and sgp_inbox_send_begin. */
uint64_t sgp_inbox_waited(const sgp_inbox_t *inbox);

#endif
