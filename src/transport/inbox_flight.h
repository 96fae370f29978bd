/* SPDX-License-Identifier: Apache-2.0 */
/* What the inbox tells the flight recorder (base/flight.h): messages, sleeps, members, counters. For the inbox alone; it
 * decides nothing, and never waits. Each call is a comparison where the transport has no recorder. */
#ifndef SGP_TRANSPORT_INBOX_FLIGHT_H
#define SGP_TRANSPORT_INBOX_FLIGHT_H

#include "transport/transport.h"

/* Embedded in the inbox. */
typedef struct sgp_inbox_flight {
    sgp_flight_want_t want;   /* of the next sleep; OTHER: its caller did not say */
    uint32_t *seen;           /* (ranks) owned; events of the fates that were recorded */
    uint64_t resent, refused; /* the transport's counters when they were recorded */
} sgp_inbox_flight_t;

/* false: no memory. fini accepts zeros. */
bool sgp_inbox_flight_init(sgp_inbox_flight_t *inbox, int ranks);
void sgp_inbox_flight_fini(sgp_inbox_flight_t *inbox);

/* A chunk was taken in: the first or the last of its message. */
void sgp_inbox_record_arrival(sgp_transport_t *transport, const sgp_header_t *header);

/* Of other chunks nothing is recorded. */
static inline void sgp_inbox_note_arrival(sgp_transport_t *transport, const sgp_header_t *header) {
    if (header->offset == 0 || header->offset + header->elements == header->count)
        sgp_inbox_record_arrival(transport, header);
}

void sgp_inbox_note_refused(sgp_transport_t *transport, const sgp_header_t *header);

/* A message was begun, and its last chunk has left. */
void sgp_inbox_note_begun(sgp_transport_t *transport, const sgp_send_t *send);
void sgp_inbox_note_sent(sgp_transport_t *transport, const sgp_send_t *send);

/* Events of the fates that are new. */
void sgp_inbox_note_fates(sgp_inbox_flight_t *inbox, sgp_transport_t *transport);

/* Around a sleep. rank: whose chunks it waits for, or -1. sleep takes inbox->want; wake looks at the transport's counters. */
void sgp_inbox_note_sleep(sgp_inbox_flight_t *inbox, sgp_transport_t *transport, int rank,
                          uint64_t now);
void sgp_inbox_note_wake(sgp_inbox_flight_t *inbox, sgp_transport_t *transport, uint64_t now,
                         sgp_status_t status);

#endif
