/* SPDX-License-Identifier: Apache-2.0 */
/* Arrived chunks, kept where they lie until somebody asks for them.
 *
 * A transport gives chunks in the order of arrival; an algorithm wants those of one step in the
 * order of senders, a barrier only its own. The inbox stands between: it takes all that has arrived
 * and finds a chunk by what it is. Not thread-safe.
 *
 * It refuses, releases and counts chunks that nobody can ever ask for:
 *  - one that is here already;
 *  - of a channel that was dropped, or more than 65,536 channels beyond the last that was opened;
 *  - more than 2^32 steps beyond the last that was asked for: no sender has room for so many.
 * All others are kept. A sender may be ahead, even with a mixer that this rank has not created yet; how
 * many of its chunks can be here is the transport's to bound (transport.h). */
#ifndef SGP_TRANSPORT_INBOX_H
#define SGP_TRANSPORT_INBOX_H

#include "transport/transport.h"

typedef struct sgp_inbox sgp_inbox_t;

/* What is asked for. */
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

/* Takes in all that has arrived, so that the transport has nothing more to give. Never blocks. Without
 * memory the rest stays with the transport until a later call. */
void sgp_inbox_collect(sgp_inbox_t *inbox);

/* The chunk, or NULL if it has not arrived; takes in first what has. Valid until sgp_inbox_release.
 * Never blocks. */
sgp_chunk_t *sgp_inbox_find(sgp_inbox_t *inbox, const sgp_inbox_key_t *key);

/* Chunks of the key's channel, kind and step in the order of arrival, of any sender and offset: the one after `chunk`, or
 * the first for NULL; NULL: there are no more. Takes nothing in. */
sgp_chunk_t *sgp_inbox_next(sgp_inbox_t *inbox, const sgp_inbox_key_t *key, sgp_chunk_t *chunk);

void sgp_inbox_release(sgp_inbox_t *inbox, sgp_chunk_t *chunk);

/* A mixer will ask for this channel. */
void sgp_inbox_open_channel(sgp_inbox_t *inbox, uint32_t channel);

/* Releases all chunks of a channel, seen or not: its mixer is gone. Those that still come are refused. */
void sgp_inbox_drop_channel(sgp_inbox_t *inbox, uint32_t channel);

/* Chunks taken in so far. Every look into the inbox can take some in, also those that an earlier look
 * has missed: whoever looks for several things remembers the number from before the first look. */
uint64_t sgp_inbox_taken_in(const sgp_inbox_t *inbox);

/* Before the transport's own wait, which does not sleep while it has something to give: takes in what there
 * was no memory for. SGP_ERR_NO_MEMORY: still none, and no more are taken in than `since`; logged. */
sgp_status_t sgp_inbox_retry(sgp_inbox_t *inbox, uint64_t since);

/* Looks for what ends every wait of this node, such as another node's word that the run is over. Called
 * before each sleep and at least ten times a second during one, by whoever waits; `agent`: that is the
 * transport's agent. Its error is the wait's, and it has logged it. It may use the inbox, but not wait. */
typedef sgp_status_t (*sgp_inbox_watch_fn)(void *context, bool agent);

/* context: borrowed. watch NULL: no more. */
void sgp_inbox_set_watch(sgp_inbox_t *inbox, sgp_inbox_watch_fn watch, void *context);

/* Looks now. SGP_OK where there is no watch. */
sgp_status_t sgp_inbox_look(sgp_inbox_t *inbox, bool agent);

/* Until when a sleep with that deadline may last before the watch is due again. */
uint64_t sgp_inbox_next_look(const sgp_inbox_t *inbox, uint64_t deadline);

/* Notices taken in so far; a look for them can be spared while it stays the same. */
uint64_t sgp_inbox_notices(const sgp_inbox_t *inbox);

/* Sleeps until more chunks are here than `since`, taken in or arrived, room came free, or the deadline
 * passed; may return earlier. Logs why it gave up: `what` says what was waited for. SGP_ERR_TIMEOUT,
 * SGP_ERR_PEER_LOST (once nothing more has arrived), SGP_ERR_NO_MEMORY (what has arrived cannot be taken
 * in), or what the watch says. */
sgp_status_t sgp_inbox_wait(sgp_inbox_t *inbox, uint64_t since, uint64_t deadline,
                            const char *what);

/* Begins a message, asleep until there is room. Errors as sgp_inbox_wait. */
sgp_status_t sgp_inbox_send_begin(sgp_inbox_t *inbox, const sgp_header_t *header,
                                  const sgp_destination_t *to, int destinations, uint64_t deadline,
                                  sgp_send_t *send);

/* Nanoseconds spent asleep in the two calls above. */
uint64_t sgp_inbox_waited(const sgp_inbox_t *inbox);

#endif
