/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/inbox_flight.h"

#include <stdlib.h>

/* More receivers of a message than this have one event together. */
enum { RECEIVERS = 4 };

bool sgp_inbox_flight_init(sgp_inbox_flight_t *inbox, int ranks) {
    inbox->want.peer = -1;
    inbox->seen = calloc((size_t)ranks, sizeof *inbox->seen);
    return inbox->seen != NULL;
}

void sgp_inbox_flight_fini(sgp_inbox_flight_t *inbox) {
    free(inbox->seen);
}

static void store(sgp_flight_t *flight, sgp_flight_kind_t kind, const sgp_header_t *header,
                  int peer, uint64_t now) {
    sgp_flight_store(flight, SGP_FLIGHT_MESSAGES, now,
                     sgp_flight_about(kind, header->kind, peer, header->channel), header->step,
                     header->id);
}

void sgp_inbox_record_arrival(sgp_transport_t *transport, const sgp_header_t *header) {
    sgp_flight_t *flight = transport->flight;
    if (!flight) return;
    bool whole = header->offset + header->elements == header->count;
    uint64_t now = sgp_clock_now();
    store(flight, whole ? SGP_FLIGHT_ARRIVED : SGP_FLIGHT_ARRIVING, header, header->src, now);
    if (!whole) return;
    sgp_flight_peer_t *peer = &flight->peers[header->src];
    if (header->kind == SGP_KIND_CONTROL)
        atomic_store_explicit(&peer->control, header->step, memory_order_relaxed);
    if (header->kind != SGP_KIND_PUSH) return;
    atomic_store_explicit(&peer->arrived, now, memory_order_relaxed);
    atomic_store_explicit(&peer->arrived_step, header->step, memory_order_relaxed);
}

void sgp_inbox_note_refused(sgp_transport_t *transport, const sgp_header_t *header) {
    sgp_flight_t *flight = transport->flight;
    if (flight) store(flight, SGP_FLIGHT_REFUSED, header, header->src, sgp_clock_now());
}

static void note_receivers(sgp_flight_t *flight, const sgp_send_t *send, sgp_flight_kind_t kind,
                           uint64_t now) {
    if (send->destinations > RECEIVERS) store(flight, kind, &send->header, -1, now);
    else
        for (int i = 0; i < send->destinations; i++)
            store(flight, kind, &send->header, send->to[i].dst, now);
}

void sgp_inbox_note_begun(sgp_transport_t *transport, const sgp_send_t *send) {
    sgp_flight_t *flight = transport->flight;
    if (flight) note_receivers(flight, send, SGP_FLIGHT_BEGUN, sgp_clock_now());
}

void sgp_inbox_note_sent(sgp_transport_t *transport, const sgp_send_t *send) {
    sgp_flight_t *flight = transport->flight;
    if (!flight) return;
    uint64_t now = sgp_clock_now();
    note_receivers(flight, send, SGP_FLIGHT_SENT, now);
    for (int i = 0; i < send->destinations && send->header.kind == SGP_KIND_PUSH; i++) {
        sgp_flight_peer_t *peer = &flight->peers[send->to[i].dst];
        atomic_store_explicit(&peer->sent, now, memory_order_relaxed);
        atomic_store_explicit(&peer->sent_step, send->header.step, memory_order_relaxed);
    }
}

/* ---- members ---- */

static sgp_flight_kind_t kind_of(const sgp_fate_event_t *event) {
    if (event->fate.state == SGP_FATE_LOST) return SGP_FLIGHT_LOST;
    if (event->fate.state == SGP_FATE_LEFT) return SGP_FLIGHT_LEFT;
    if (event->opened) return SGP_FLIGHT_JOINED;
    return event->silent ? SGP_FLIGHT_SILENT : SGP_FLIGHT_HEARD;
}

void sgp_inbox_note_fates(sgp_inbox_flight_t *inbox, sgp_transport_t *transport) {
    sgp_flight_t *flight = transport->flight;
    sgp_fate_event_t event;
    while (flight && sgp_fates_next_event(transport->fates, inbox->seen, &event))
        sgp_flight_store(flight, SGP_FLIGHT_MESSAGES, sgp_clock_now(),
                         sgp_flight_about(kind_of(&event), event.fate.cause, event.rank, 0), 0,
                         event.incarnation);
}

/* ---- sleeps ---- */

void sgp_inbox_note_sleep(sgp_inbox_flight_t *inbox, sgp_transport_t *transport, int rank,
                          uint64_t now) {
    sgp_flight_want_t want = inbox->want;
    if (want.what == SGP_FLIGHT_FOR_OTHER) want.peer = rank;
    inbox->want = (sgp_flight_want_t){SGP_FLIGHT_FOR_OTHER, -1, 0};
    sgp_flight_sleep(transport->flight, SGP_FLIGHT_MESSAGES, &want, now);
}

static void note_counter(sgp_flight_t *flight, sgp_flight_kind_t kind, uint64_t *noted,
                         uint64_t count) {
    if (count != *noted) sgp_flight_note(flight, SGP_FLIGHT_MESSAGES, kind, -1, 0, count - *noted);
    *noted = count;
}

void sgp_inbox_note_wake(sgp_inbox_flight_t *inbox, sgp_transport_t *transport, uint64_t now,
                         sgp_status_t status) {
    if (!transport->flight) return;
    sgp_flight_wake(transport->flight, SGP_FLIGHT_MESSAGES, now, status);
    note_counter(transport->flight, SGP_FLIGHT_RESENT, &inbox->resent, transport->counters.resent);
    note_counter(transport->flight, SGP_FLIGHT_DROPPED, &inbox->refused,
                 transport->counters.refused);
}
