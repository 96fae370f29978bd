/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of one machine over shared memory: the chunk store (slots/slots.h) of each rank, a
 * rendezvous at which all map each other's, and a heartbeat that notices losses. Called by
 * src/group/join; tcp uses local_ranks.h. It knows no network.
 *
 * A push writes its chunk into a slot of the sender's own memory and posts the slot's number; the
 * receivers, one or several, absorb it where it lies and give the slot back. So no message needs a
 * thread, a rank writes into another's memory only to give slots back, and the chunks that a dead
 * sender posted stay readable. A waiting rank sleeps on a futex. */
#ifndef SGP_TRANSPORT_SHM_SHM_H
#define SGP_TRANSPORT_SHM_SHM_H

#include "transport/transport.h"

typedef struct sgp_shm_options {
    int rank;
    int size;
    const char *rendezvous;  /* directory in which the ranks find each other; unused if size is 1 */
    size_t chunk_bytes;      /* a multiple of 64, the same on all ranks; 0: the default */
    int timeout_ms;          /* for all to come; required */
    int peer_timeout_ms;     /* a rank that is silent for so long is lost; 0: SGP_PEER_TIMEOUT_MS */
    sgp_patience_t patience; /* of an elastic group */
    uint64_t run;            /* the same on all ranks; 0: the rendezvous is private to a run */
} sgp_shm_options_t;

/* Connects to all other ranks, and blocks until they have come. Sets *transport only on success;
 * destroy frees it. SGP_ERR_INVALID, SGP_ERR_TIMEOUT (a node did not come), SGP_ERR_MISMATCH
 * (another version or size on the other side), SGP_ERR_SYSTEM, SGP_ERR_NO_MEMORY; all logged. */
sgp_status_t sgp_shm_connect(const sgp_shm_options_t *options, sgp_transport_t **transport);

#endif
