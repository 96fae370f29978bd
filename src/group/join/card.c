/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/card.h"

#include "base/logging.h"

#include <stdio.h>
#include <string.h>

/* The host that others use: the one that it calls from, or, on loopback, this machine's. */
static void complete_address(sgp_endpoint_t *endpoint, const sgp_address_t *from, const char *own) {
    char text[SGP_ADDRESS_TEXT], ours[SGP_ADDRESS_TEXT];
    const char *host = sgp_address_text(from, text);
    snprintf(ours, sizeof ours, "%s", own);
    if (sgp_address_is_loopback(from) && ours[0]) host = ours;
    int length = (int)(strrchr(host, ':') - host);
    snprintf(endpoint->address, sizeof endpoint->address, "%.*s:%d", length, host, endpoint->port);
    endpoint->port = 0;
}

bool sgp_card_make(const sgp_endpoint_t *endpoint, const sgp_address_t *from, const char *own,
                   int seat, int capacity, uint64_t run, unsigned char card[SGP_CARD_BYTES]) {
    sgp_endpoint_t made = *endpoint;
    sgp_address_t address;
    if (made.port) complete_address(&made, from, own);
    if (sgp_address_parse(made.address, &address) != SGP_OK) return false;
    made.rank = seat;
    made.size = capacity;
    made.run = run;
    memset(made.secret, 0, sizeof made.secret);
    sgp_endpoint_encode(&made, card);
    return true;
}

sgp_status_t sgp_card_open(sgp_transport_t *transport, int seat, uint32_t incarnation,
                           const unsigned char *card, size_t card_bytes) {
    sgp_endpoint_t endpoint;
    sgp_address_t address;
    if (!card_bytes) return sgp_transport_open(transport, seat, incarnation, NULL);
    if (card_bytes != SGP_CARD_BYTES || sgp_endpoint_decode(card, &endpoint) != SGP_OK ||
        endpoint.rank != seat || endpoint.run != transport->run)
        return sgp_fail(SGP_ERR_FORMAT, "the card of seat %d is none of this run", seat);
    if (sgp_address_parse(endpoint.address, &address) != SGP_OK) return SGP_ERR_FORMAT;
    return sgp_transport_open(transport, seat, incarnation, &address);
}
