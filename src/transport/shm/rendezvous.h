/* SPDX-License-Identifier: Apache-2.0 */
/* How the processes of one machine find each other: every rank listens on a socket in a directory,
 * connects to all lower ranks, and the two exchange their regions. The connection stays open: it
 * ends when a process does, so a forked child closes it (base/fork.h). */
#ifndef SGP_TRANSPORT_SHM_RENDEZVOUS_H
#define SGP_TRANSPORT_SHM_RENDEZVOUS_H

#include "transport/slots/slots.h"

typedef struct sgp_rendezvous {
    sgp_slots_t *slots;
    const char *directory;
    const bool *local; /* (size) the ranks that meet here; NULL: all */
    int timeout_ms;    /* for all to come */
    int *sockets;      /* (size) -1 each */
} sgp_rendezvous_t;

/* Maps the regions of all local ranks into slots->peers, and fills their sockets, which the caller
 * closes by sgp_fork_close, after an error too. Blocks. Errors as sgp_local_ranks_meet. */
sgp_status_t sgp_rendezvous_meet(const sgp_rendezvous_t *rendezvous);

#endif
