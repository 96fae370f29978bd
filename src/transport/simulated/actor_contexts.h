/* SPDX-License-Identifier: Apache-2.0 */
/* The contexts of a simulated rank: actors that sleep on semaphores of SimGrid's. Called by the simulated transport's
 * files alone. */
#ifndef SGP_TRANSPORT_SIMULATED_ACTOR_CONTEXTS_H
#define SGP_TRANSPORT_SIMULATED_ACTOR_CONTEXTS_H

#include "transport/simulated/cluster.h"

void sgp_actor_contexts_init(rank_t *rank);
void sgp_actor_contexts_fini(rank_t *rank);

/* Log lines are this rank's again, after a call that gives way to other actors. */
void sgp_actor_resume(const rank_t *rank);

/* A chunk will arrive then: wakes the contexts in wait that would sleep for longer. Gives way. */
void sgp_actor_expect(rank_t *receiver, uint64_t arrives);

#endif
