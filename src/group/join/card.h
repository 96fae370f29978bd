/* SPDX-License-Identifier: Apache-2.0 */
/* The card of a newcomer: its endpoint record (group/join/endpoint.h), as its JOIN notice carries it. The members that merge
 * such a notice call sgp_card_open, so that they can exchange messages with the newcomer. */
#ifndef SGP_GROUP_JOIN_CARD_H
#define SGP_GROUP_JOIN_CARD_H

#include "group/join/endpoint.h"
#include "transport/transport.h"

#define SGP_CARD_BYTES SGP_ENDPOINT_BYTES

/* For the sponsor: the endpoint that a candidate has sent from that address, completed: its seat as the rank, in a group of
 * so many seats and that run, and the address at which others call it. own: where this process is called, for a candidate
 * that calls from an address that only this machine reaches; "" : unknown. false: it states no address. */
bool sgp_card_make(const sgp_endpoint_t *endpoint, const sgp_address_t *from, const char *own,
                   int seat, int capacity, uint64_t run, unsigned char card[SGP_CARD_BYTES]);

/* Opens the seat (transport.h, open) at the address of the card. Without one (loopback) card_bytes is 0. The errors of
 * sgp_transport_open, and SGP_ERR_FORMAT, logged: not a card, or of another seat. */
sgp_status_t sgp_card_open(sgp_transport_t *transport, int seat, uint32_t incarnation,
                           const unsigned char *card, size_t card_bytes);

#endif
