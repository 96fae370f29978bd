/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the simulated cluster in memory: made whole when they begin, freed with their last reference. Called by the
 * simulated transport's files alone; takes no simulated time. */
#ifndef SGP_TRANSPORT_SIMULATED_SIMULATED_MESSAGE_H
#define SGP_TRANSPORT_SIMULATED_SIMULATED_MESSAGE_H

#include "transport/simulated/cluster.h"

/* With one reference, for the time in which it is written. room: of it, as room is counted. NULL: no memory. */
message_t *sgp_simulated_message_create(rank_t *sender, const sgp_header_t *header,
                                        const sgp_destination_t *to, int destinations,
                                        uint64_t room);

/* The place of the next chunk of so many bytes. */
void *sgp_simulated_message_advance(message_t *message, size_t bytes);

/* The current chunk on its way to one of the destinations, with a reference to the message. scale: simulated bytes of one
 * of payload. */
delivery_t *sgp_simulated_message_deliver(message_t *message, const sgp_header_t *header,
                                          const sgp_destination_t *to, flow_t *flow, double scale);

/* One reference less; with the last one the sender has room again, and is woken if it wants it. Gives way. */
void sgp_simulated_message_drop(message_t *message);

/* Those that are left in the end. */
void sgp_simulated_message_free_all(sgp_simulated_t *cluster);

#endif
