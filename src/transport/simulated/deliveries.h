/* SPDX-License-Identifier: Apache-2.0 */
/* Messages at line rate, on their way to each rank. Called by the simulated transport's files alone. */
#ifndef SGP_TRANSPORT_SIMULATED_DELIVERIES_H
#define SGP_TRANSPORT_SIMULATED_DELIVERIES_H

#include "transport/simulated/cluster.h"

/* Leaves behind what its sender has sent before, if it takes turns, or else at once. Gives way. */
void sgp_deliveries_send(delivery_t *delivery, bool turns);

/* When the first of those on their way to the rank is there, in nanoseconds; UINT64_MAX: there is none. */
uint64_t sgp_deliveries_next(const rank_t *rank);

/* Takes the first of them, arrived or not; NULL: there is none. */
delivery_t *sgp_deliveries_take(rank_t *rank);

#endif
