/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of the simulated cluster's messages: allocated whole when they begin, freed with the last reference. Called
 * by the files of transport/simulated alone; takes no simulated time. */
#ifndef SGP_TRANSPORT_SIMULATED_SIMULATED_MESSAGE_H
#define SGP_TRANSPORT_SIMULATED_SIMULATED_MESSAGE_H

#include "transport/simulated/cluster.h"

/* A message with one reference, the writer's. room: that it takes at its sender, in chunks. NULL: no memory. */
message_t *sgp_simulated_message_create(rank_t *sender, const sgp_header_t *header,
                                        const sgp_destination_t *to, int destinations,
                                        uint64_t room);

/* The place for chunk `index`, of so many bytes: now the current one. */
void *sgp_simulated_message_place(message_t *message, size_t index, size_t bytes);

/* The delivery of the current chunk to one destination; it holds a reference to the message. record: outstanding.h. scale:
 * simulated bytes per byte of payload. */
delivery_t *sgp_simulated_message_deliver(message_t *message, const sgp_header_t *header,
                                          const sgp_destination_t *to, uint32_t record,
                                          flow_t *flow, double scale);

/* Drops one reference. The last one gives the sender its room back, and wakes it if it waits for room. Yields. */
void sgp_simulated_message_drop(message_t *message);

/* Ends a delivery that was received, also one that was given up. Yields. */
void sgp_simulated_message_release(delivery_t *delivery);

/* The rank is gone: its deliveries that it has not released hold the message no more. The caller holds one reference,
 * and drops it. */
void sgp_simulated_message_give_up(message_t *message, int rank);

/* Frees the messages that are left. */
void sgp_simulated_message_free_all(sgp_simulated_t *cluster);

#endif
