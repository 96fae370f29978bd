/* SPDX-License-Identifier: Apache-2.0 */
/* The inbox's calls for sending. */
#include "transport/inbox.h"
#include "transport/inbox_flight.h"

sgp_status_t sgp_inbox_send_try(sgp_inbox_t *inbox, const sgp_header_t *header,
                                const sgp_destination_t *to, int destinations, sgp_send_t *send) {
    sgp_transport_t *transport = sgp_inbox_transport(inbox);
    sgp_status_t status = sgp_transport_send_begin(transport, header, to, destinations, send);
    if (status == SGP_OK) {
        sgp_inbox_note_begun(transport, send);
        if (header->kind == SGP_KIND_PUSH) sgp_inbox_note_pushed(inbox, to, destinations);
    }
    return status == SGP_ERR_PEER_LOST ? sgp_transport_fail_lost(transport, NULL) : status;
}

sgp_status_t sgp_inbox_send_begin(sgp_inbox_t *inbox, const sgp_header_t *header,
                                  const sgp_destination_t *to, int destinations, uint64_t deadline,
                                  sgp_send_t *send) {
    for (;;) {
        sgp_status_t status = sgp_inbox_send_try(inbox, header, to, destinations, send);
        if (status != SGP_ERR_AGAIN) return status;
        sgp_inbox_collect(inbox);
        sgp_inbox_want(inbox, SGP_FLIGHT_FOR_ROOM, destinations == 1 ? to->dst : -1, header->step);
        status = sgp_inbox_wait(inbox, sgp_inbox_taken_in(inbox), deadline, "room to send");
        if (status != SGP_OK) return status;
    }
}

void *sgp_inbox_send_next(sgp_inbox_t *inbox, sgp_send_t *send) {
    return sgp_transport_send_next(sgp_inbox_transport(inbox), send);
}

void *sgp_inbox_send_chunk(sgp_inbox_t *inbox, sgp_send_t *send, uint64_t index) {
    return sgp_transport_send_chunk(sgp_inbox_transport(inbox), send, index);
}

void sgp_inbox_send_abandon(sgp_inbox_t *inbox, sgp_send_t *send) {
    sgp_transport_send_abandon(sgp_inbox_transport(inbox), send);
}

void sgp_inbox_send_commit(sgp_inbox_t *inbox, sgp_send_t *send) {
    sgp_transport_t *transport = sgp_inbox_transport(inbox);
    sgp_transport_send_commit(transport, send);
    if (send->left == 0) sgp_inbox_note_sent(transport, send);
}

bool sgp_inbox_send_paced(sgp_inbox_t *inbox, sgp_send_t *send) {
    if (!sgp_transport_keep_close(sgp_inbox_transport(inbox), send)) return false;
    sgp_inbox_collect(inbox);
    return true;
}
