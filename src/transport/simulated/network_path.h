/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a chunk from rank to rank over SimGrid's links: its flow's turn, the transfer, the receiver's queue. Called
 * by simulated.c alone; it never waits for a receiver. A call that yields lets other actors run. */
#ifndef SGP_TRANSPORT_SIMULATED_NETWORK_PATH_H
#define SGP_TRANSPORT_SIMULATED_NETWORK_PATH_H

#include "transport/simulated/cluster.h"

/* Sends a chunk of a message, or lets it wait for the flow's turn. Yields. */
void sgp_path_send(flow_t *flow, delivery_t *delivery);

/* So many chunks of a message are never sent. Yields. */
void sgp_path_abandon(flow_t *flow, size_t chunks);

/* The rank is gone: drops what waits to be sent to it by elastic senders, and gives the room back of what it holds; their
 * flows to it are `gone`. Yields. */
void sgp_path_give_up(sgp_simulated_t *cluster, int rank);

/* Takes the oldest arrived chunk of a rank, or NULL. Chunks at line rate are not among them (deliveries.h). */
delivery_t *sgp_path_take(rank_t *rank);

/* Ends the actors of transfers, with the last other actor. Yields. */
void sgp_path_close(sgp_simulated_t *cluster);

#endif
