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

/* Walks the chunks of the key's channel, kind and step, of any sender and offset, in the order of arrival: the one after
 * `chunk`, or the first for NULL; NULL: there are no more. Takes nothing in. */
sgp_chunk_t *sgp_inbox_next(sgp_inbox_t *inbox, const sgp_inbox_key_t *key, sgp_chunk_t *chunk);

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

/* Answers messages of one kind whatever this node waits for. sgp_inbox_look calls it before the watch if a chunk of that
 * kind was taken in since, or if it returned true: work is left, such as an answer for which there was no room. It may use
 * the inbox and send, but not wait. */
typedef bool (*sgp_inbox_service_fn)(void *context);

/* context: borrowed. service NULL: no more. */
void sgp_inbox_set_service(sgp_inbox_t *inbox, sgp_kind_t kind, sgp_inbox_service_fn service,
                           void *context);

/* Calls the service if it is due, and the watch. SGP_OK where there is none. */
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
