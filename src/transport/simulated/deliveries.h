/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries at line rate: they share no link, so each arrival is known when its message leaves, and no actor transfers
 * it. Called by network_path.c and simulated.c; never waits. */
#ifndef SGP_TRANSPORT_SIMULATED_DELIVERIES_H
#define SGP_TRANSPORT_SIMULATED_DELIVERIES_H

#include "transport/simulated/cluster.h"

/* Sends a chunk: with turns, after the sender's earlier ones, otherwise at once. Yields. */
void sgp_deliveries_send(delivery_t *delivery, bool turns);

/* The first arrival of those on their way to the rank, in nanoseconds; UINT64_MAX: there is none. */
uint64_t sgp_deliveries_next(const rank_t *rank);

/* Takes the delivery with the first arrival, past or future; NULL: there is none. */
delivery_t *sgp_deliveries_take(rank_t *rank);

#endif
