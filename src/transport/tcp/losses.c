/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/losses.h"

#include "base/logging.h"
#include "transport/tcp/link.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long the owner is kept from a loss by a link that takes no bytes. */
#define SAY_GRACE ((uint64_t)250000000)

/* ---- telling the peers ---- */

static void tell_all(sgp_links_t *links, sgp_frame_kind_t kind, int rank, uint32_t value) {
    for (sgp_link_t *link = links->all; link; link = link->next)
        if (link->state == SGP_LINK_OPEN && link->peer != rank) sgp_link_say(link, kind, value);
}

/* The end of a node that follows a loss is no news: whoever knows the one sees the other. */
static bool is_news(const sgp_peer_t *peer) {
    return peer->lost && peer->fate.cause != SGP_CAUSE_FOLLOWED;
}

void sgp_links_note_open(sgp_links_t *links, sgp_link_t *link) {
    for (int r = 0; r < links->size; r++) {
        const sgp_peer_t *peer = &links->peers[r];
        if (is_news(peer)) sgp_link_say(link, SGP_FRAME_LOST, sgp_loss_pack(r, peer->fate.cause));
        if (peer->left) sgp_link_say(link, SGP_FRAME_LEFT, (uint32_t)r);
    }
    sgp_links_look_if_met(links);
}

static bool all_is_said(const sgp_links_t *links) {
    for (const sgp_link_t *link = links->all; link; link = link->next)
        if (link->state == SGP_LINK_OPEN && !link->mute && link->frames_at < link->frames_end)
            return false;
    return true;
}

/* ---- telling the owner ---- */

void sgp_links_publish(sgp_links_t *links) {
    if (!links->unsaid_count) return;
    if (!all_is_said(links) && sgp_links_now() - links->unsaid_since < SAY_GRACE) return;
    for (int i = 0; i < links->unsaid_count; i++) {
        int rank = links->unsaid[i];
        sgp_peer_t *peer = &links->peers[rank];
        links->owner.note(links->owner.transport, rank, peer->fate, peer->why);
        free(peer->why);
        peer->why = NULL;
    }
    links->unsaid_count = 0;
    sgp_links_note_met(links);
}

static void lose(sgp_links_t *links, int rank, sgp_fate_t fate, const char *why) {
    sgp_peer_t *peer = &links->peers[rank];
    if (peer->lost || peer->left) return;
    peer->lost = true;
    peer->fate = fate;
    peer->why = why ? strdup(why) : NULL;
    if (!links->unsaid_count) links->unsaid_since = sgp_links_now();
    links->unsaid[links->unsaid_count++] = rank;
    if (is_news(peer) && !links->leaves)
        tell_all(links, SGP_FRAME_LOST, rank, sgp_loss_pack(rank, fate.cause));
    sgp_links_give_up(links, rank);
}

void sgp_links_lose(sgp_links_t *links, int rank, sgp_cause_t cause, const char *why, ...) {
    int told = links->peers[rank].told;
    if ((cause == SGP_CAUSE_CLOSED || cause == SGP_CAUSE_REFUSED) && told >= 0) {
        lose(links, rank, sgp_fate_followed(told), NULL);
        return;
    }
    char text[256];
    va_list arguments;
    va_start(arguments, why);
    vsnprintf(text, sizeof text, why, arguments);
    va_end(arguments);
    lose(links, rank, sgp_fate_lost(cause), text);
}

void sgp_links_note_left(sgp_links_t *links, int rank) {
    sgp_peer_t *peer = &links->peers[rank];
    if (peer->left || peer->lost) return;
    peer->left = true;
    tell_all(links, SGP_FRAME_LEFT, rank, (uint32_t)rank);
    sgp_links_give_up(links, rank);
    sgp_links_look_if_met(links);
    links->owner.note(links->owner.transport, rank, sgp_fate_left(), NULL);
    links->owner.wake(links->owner.transport);
}

/* ---- what others say ---- */

void sgp_links_heard_lost(sgp_links_t *links, int from, uint32_t word) {
    int rank;
    sgp_cause_t cause;
    sgp_rank_name_t name;
    char why[160];
    if (!sgp_loss_unpack(word, links->size, &rank, &cause)) return;
    if (links->peers[from].told < 0) links->peers[from].told = rank;
    if (rank == links->rank) return;
    snprintf(why, sizeof why, "%s, says %s", sgp_cause_text(cause),
             sgp_transport_name(links->owner.transport, from, &name));
    lose(links, rank, sgp_fate_lost(cause), why);
}

void sgp_links_heard_left(sgp_links_t *links, uint32_t rank) {
    if (rank < (uint32_t)links->size && (int)rank != links->rank)
        sgp_links_note_left(links, (int)rank);
}

void sgp_links_take_notes(sgp_links_t *links, sgp_noticed_t *notes) {
    sgp_noticed_t *in_order = NULL;
    for (sgp_noticed_t *next; notes; notes = next) {
        next = notes->next;
        notes->next = in_order;
        in_order = notes;
    }
    for (sgp_noticed_t *next; in_order; in_order = next) {
        next = in_order->next;
        lose(links, in_order->rank, in_order->fate, in_order->why[0] ? in_order->why : NULL);
        free(in_order);
    }
}
