/* SPDX-License-Identifier: Apache-2.0 */
/* Which ranks are silent for this one, by all its edges (contact.h), and for how long. Called by tcp_engine.c, in the
 * progress thread, with each tick; it calls edges.c. */
#ifndef SGP_TRANSPORT_TCP_CONTACTS_H
#define SGP_TRANSPORT_TCP_CONTACTS_H

#include "transport/tcp/edges.h"

/* Calls note(owner, ...) for each reason to call a rank silent that holds now, or no more: of those with an edge. In an
 * elastic group it loses those that have been silent for too long. true: this rank itself was silent, as it has just
 * found out. */
bool sgp_contacts_tell(sgp_edges_t *edges, uint64_t now,
                       void (*note)(void *owner, int rank, sgp_silence_t reason, bool holds),
                       void *owner);

#endif
