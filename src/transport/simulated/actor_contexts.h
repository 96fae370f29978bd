/* SPDX-License-Identifier: Apache-2.0 */
/* The contexts of a simulated rank (transport/contexts.h) as actors that sleep on SimGrid's semaphores. Called by
 * deliveries.c and simulated.c; knows no message. */
#ifndef SGP_TRANSPORT_SIMULATED_ACTOR_CONTEXTS_H
#define SGP_TRANSPORT_SIMULATED_ACTOR_CONTEXTS_H

#include "transport/simulated/cluster.h"

void sgp_actor_contexts_init(rank_t *rank);
void sgp_actor_contexts_fini(rank_t *rank);

/* After a call that yields: log lines belong to this rank again. */
void sgp_actor_resume(const rank_t *rank);

/* Wakes the contexts in wait whose sleep would end after `arrives`, so that they sleep until then. Yields. */
void sgp_actor_expect(rank_t *receiver, uint64_t arrives);

#endif
