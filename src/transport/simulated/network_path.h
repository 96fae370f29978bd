/* SPDX-License-Identifier: Apache-2.0 */
/* How chunks get from one rank to another: their turn on the links, the transfer, the receiver's queue. Called by
 * simulated.c alone. */
#ifndef SGP_TRANSPORT_SIMULATED_NETWORK_PATH_H
#define SGP_TRANSPORT_SIMULATED_NETWORK_PATH_H

#include "transport/simulated/cluster.h"

/* The next chunk of a message leaves, or waits for its turn. Gives way. */
void sgp_path_send(flow_t *flow, delivery_t *delivery);

/* The oldest that has arrived at a rank, or NULL. Not those at line rate. */
delivery_t *sgp_path_take(rank_t *rank);

/* When the last actor ends, so do the carriers. Gives way. */
void sgp_path_close(sgp_simulated_t *cluster);

#endif
