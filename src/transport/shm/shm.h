/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of one machine over shared memory.
 * Ranks that cannot share memory are reached by a remote (transport/remote.h), which reads what it
 * sends from the same slots.
 *
 * Each rank owns a region (a memfd that all others map): slots for the chunks it sends, and for
 * every receiver a ring of what to read. A push writes its chunk into a slot of the sender's own
 * and posts the slot's number; the receivers, one or several, absorb it where it lies and give the
 * slot back. So no message needs a thread, nobody writes into another's memory but to give back what it
 * has read, and what a dead sender has posted stays readable. A waiting rank sleeps on a futex. A small thread
 * of each rank notices losses (pulse.h). */
#ifndef SGP_TRANSPORT_SHM_SHM_H
#define SGP_TRANSPORT_SHM_SHM_H

#include "transport/remote.h"

typedef struct sgp_shm_options {
    int rank;
    int size;
    const char
        *rendezvous;    /* directory in which the ranks find each other; unused when size is 1 */
    size_t chunk_bytes; /* a multiple of 64, the same on all ranks; 0: the default */
    int timeout_ms;     /* for all to come; required */
    int peer_timeout_ms; /* a local rank that is silent for so long is lost; 0: SGP_PEER_TIMEOUT_MS */
    uint64_t run;        /* as all ranks know it; 0: the rendezvous is private to a run */
    const bool *local;   /* (size) ranks that meet here; NULL: all, or, with a remote, none */
    sgp_remote_t *remote; /* carries to and from the ranks that are not; taken, in every case; NULL:
                             all are local */
} sgp_shm_options_t;

/* Connects to all other ranks, and blocks until they have come. Sets *transport only on success;
 * destroy frees it. SGP_ERR_INVALID, SGP_ERR_TIMEOUT (a node did not come), SGP_ERR_MISMATCH
 * (another version or size on the other side), SGP_ERR_SYSTEM, SGP_ERR_NO_MEMORY; all logged. */
sgp_status_t sgp_shm_connect(const sgp_shm_options_t *options, sgp_transport_t **transport);

#endif
