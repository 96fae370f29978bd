/* SPDX-License-Identifier: Apache-2.0 */
/* The other ranks of this machine, with whom a transport over slots shares memory: they meet in a
 * directory, each maps the others' regions, and a heartbeat notices their losses. Called by shm.c,
 * for all ranks, and by tcp/tcp.c, for some. */
#ifndef SGP_TRANSPORT_SHM_LOCAL_RANKS_H
#define SGP_TRANSPORT_SHM_LOCAL_RANKS_H

#include "transport/shm/heartbeat.h"

typedef struct sgp_local_options {
    const bool *local;       /* (size) the ranks, the same choice on both sides; NULL: all */
    const char *rendezvous;  /* directory in which they meet; needed if there are any others */
    int timeout_ms;          /* for all to come */
    int peer_timeout_ms;     /* a rank that is silent for so long is lost; 0: SGP_PEER_TIMEOUT_MS */
    sgp_patience_t patience; /* of an elastic group */
} sgp_local_options_t;

/* Embedded; private. Zeros are one without connections. */
typedef struct sgp_local_ranks {
    int *sockets; /* (size) one to each local rank, which ends when its process does; -1: none */
    int size;
    sgp_heartbeat_t heartbeat;
} sgp_local_ranks_t;

/* Blocks until all local ranks have come; fills slots->peers, and calls slots->note for what the
 * heartbeat notices, from sgp_local_ranks_watch on. slots: borrowed. SGP_ERR_INVALID,
 * SGP_ERR_TIMEOUT, SGP_ERR_MISMATCH, SGP_ERR_SYSTEM, SGP_ERR_NO_MEMORY; all logged;
 * sgp_local_ranks_fini is due in every case. */
sgp_status_t sgp_local_ranks_meet(sgp_local_ranks_t *ranks, sgp_slots_t *slots,
                                  const sgp_local_options_t *options);

/* The heartbeat looks at the others from now on. */
void sgp_local_ranks_watch(sgp_local_ranks_t *ranks);

/* Before sgp_slots_fini: to the others this rank looks like a process that has ended. */
void sgp_local_ranks_fini(sgp_local_ranks_t *ranks);

#endif
