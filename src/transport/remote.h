/* SPDX-License-Identifier: Apache-2.0 */
/* How a transport whose chunks lie in a region of its own (transport/shm) reaches ranks that cannot
 * map that region: a remote carries the chunks to them, and brings theirs.
 *
 * The calls are those of one context at a time, as the transport's are; the two functions of the owner
 * may be called in any context. */
#ifndef SGP_TRANSPORT_REMOTE_H
#define SGP_TRANSPORT_REMOTE_H

#include "transport/transport.h"

typedef struct sgp_remote sgp_remote_t;

typedef struct sgp_remote_owner {
    sgp_transport_t *transport;
    void (*drop)(sgp_transport_t *transport, uint32_t slot); /* one receiver needs it no more */
    void (*wake)(sgp_transport_t *transport);                /* something may have changed */
    /* Sets the fate of a rank in the transport's `fates`; those that the remote reaches have been told of it. */
    void (*note)(sgp_transport_t *transport, int rank, sgp_fate_t fate, const char *why);
} sgp_remote_owner_t;

typedef struct sgp_remote_ops {
    /* Before all others. owner: copied. SGP_ERR_NO_MEMORY, SGP_ERR_SYSTEM (logged). */
    sgp_status_t (*start)(sgp_remote_t *remote, const sgp_remote_owner_t *owner);

    /* Each rank may have so many chunks here at a time, arrived and not released; never less than before.
     * More are left with their sender. */
    void (*allow)(sgp_remote_t *remote, uint64_t chunks);

    /* Takes the memory for so many later posts, each of which uses it, sent or not. false: there is none,
     * and nothing is reserved. */
    bool (*reserve)(sgp_remote_t *remote, size_t posts);

    /* Sends a chunk: header with the weight of dst, payload: borrowed until owner.drop(slot). Reserved
     * before. Never blocks. false: dst has left or is lost: nothing is sent nor dropped. */
    bool (*post)(sgp_remote_t *remote, int dst, const sgp_header_t *header, const void *payload,
                 uint32_t slot);

    /* As the transport's calls of these names. */
    bool (*has_arrived)(sgp_remote_t *remote);
    sgp_status_t (*receive)(sgp_remote_t *remote, sgp_chunk_t *chunk);
    void (*release)(sgp_remote_t *remote, sgp_chunk_t *chunk);

    /* The owner has noticed the loss of a rank that it reaches itself. The remote tells the others, and then
     * calls owner.note. Any context; never blocks. */
    void (*note)(sgp_remote_t *remote, int rank, sgp_fate_t fate, const char *why);
    void (*leave)(sgp_remote_t *remote, uint64_t deadline);
    void (*destroy)(sgp_remote_t *remote); /* also where start failed or was not called */
} sgp_remote_ops_t;

struct sgp_remote {
    const sgp_remote_ops_t *ops;
};

#endif
