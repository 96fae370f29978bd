/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/contacts.h"

#include <stdio.h>

static sgp_limits_t silence_limits(const sgp_edges_t *edges) {
    sgp_limits_t limits = edges->limits;
    if (!edges->transport->elastic) limits.suspect = edges->peer_timeout / SGP_SILENT_SHARE;
    return limits;
}

static void lose_if_dead(sgp_edges_t *edges, int rank, uint64_t now) {
    uint64_t silence = sgp_contact_silence(&edges->of[rank].contact, now);
    char why[64];
    if (!edges->transport->elastic || edges->transport->confirms) return;
    if (silence <= edges->limits.dead) return;
    snprintf(why, sizeof why, "it has been silent for %.1f s", (double)silence / 1e9);
    sgp_edges_note(edges, rank, sgp_fate_lost(SGP_CAUSE_SILENT), why);
}

bool sgp_contacts_tell(sgp_edges_t *edges, uint64_t now,
                       void (*note)(void *owner, int rank, sgp_silence_t reason, bool holds),
                       void *owner) {
    sgp_limits_t limits = silence_limits(edges);
    for (int r = 0; r < edges->capacity; r++) {
        sgp_edge_t *edge = &edges->of[r];
        uint64_t out = sgp_connection_heard(edge->out, now),
                 in = sgp_connection_heard(edge->in, now);
        unsigned reasons = sgp_contact_look(&edge->contact, out > in ? out : in, now, &limits);
        for (unsigned reason = 1; reason <= SGP_SILENCE_HUNG; reason <<= 1)
            if ((reasons ^ edge->contact.noted) & reason)
                note(owner, r, (sgp_silence_t)reason, reasons & reason);
        edge->contact.noted = reasons;
        if (reasons & SGP_SILENCE_UNHEARD) lose_if_dead(edges, r, now);
    }
    bool absent = edges->absent;
    edges->absent = false;
    return absent;
}
