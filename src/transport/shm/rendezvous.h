/* SPDX-License-Identifier: Apache-2.0 */
/* How the processes of one machine find each other: every rank listens on a socket in a directory,
 * connects to all lower ranks, and the two exchange their regions. The connection stays open: it
 * ends when a process does. */
#ifndef SGP_TRANSPORT_SHM_RENDEZVOUS_H
#define SGP_TRANSPORT_SHM_RENDEZVOUS_H

#include "transport/slots/region.h"
#include "transport/shm/shm.h"

/* One other rank. */
typedef struct sgp_shm_peer {
    int socket; /* -1: none */
    sgp_region_t region;
    int ring; /* the part in which its ring to us goes on */
} sgp_shm_peer_t;

static inline bool sgp_shm_is_local(const sgp_shm_options_t *options, int rank) {
    return options->local ? options->local[rank] : !options->remote;
}

/* peers: (size) with socket -1; filled for the local ones but our own. On failure what was opened is left for
 * sgp_shm_disconnect. Errors as sgp_shm_connect. */
sgp_status_t sgp_shm_meet(const sgp_shm_options_t *options, const sgp_region_t *own,
                          sgp_shm_peer_t *peers);

void sgp_shm_disconnect(sgp_shm_peer_t *peers, int size);

#endif
