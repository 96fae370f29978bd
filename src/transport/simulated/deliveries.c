/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/simulated/deliveries.h"

#include "transport/simulated/actor_contexts.h"
#include "transport/simulated/simulated_message.h"

#include <math.h>

/* Deliveries lie in a pairing heap, which needs no memory of its own. */

static bool is_earlier(const delivery_t *a, const delivery_t *b) {
    return a->arrives != b->arrives ? a->arrives < b->arrives : a->number < b->number;
}

/* One heap of two, either of which may be empty. */
static delivery_t *meld(delivery_t *a, delivery_t *b) {
    if (!a || !b) return a ? a : b;
    delivery_t *root = is_earlier(b, a) ? b : a, *child = root == a ? b : a;
    child->next = root->child;
    root->child = child;
    return root;
}

/* One heap of a list of heaps: melds them in pairs, then the pairs from the last to the first. */
static delivery_t *meld_all(delivery_t *first) {
    delivery_t *pairs = NULL, *all = NULL;
    while (first) {
        delivery_t *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = NULL;
        if (b) b->next = NULL;
        delivery_t *pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs) {
        delivery_t *pair = pairs;
        pairs = pair->next;
        pair->next = NULL;
        all = meld(all, pair);
    }
    return all;
}

void sgp_deliveries_send(delivery_t *delivery, bool turns) {
    rank_t *sender = delivery->message->sender;
    sgp_simulated_t *cluster = sender->cluster;
    rank_t *receiver = &cluster->ranks[delivery->dst];
    double begin = cluster->grid->now();
    if (turns && sender->busy_until > begin) begin = sender->busy_until;
    double end = begin + (delivery->bytes + SGP_HEADER_BYTES) / cluster->options.line_rate;
    if (turns) sender->busy_until = end;
    delivery->arrives = (uint64_t)llround((end + cluster->options.latency_seconds) * 1e9);
    delivery->number = cluster->scheduled++;
    delivery->next = delivery->child = NULL;
    if (receiver->state != RANK_WORKS) {
        receiver->transport.counters.lost++;
        sgp_simulated_message_drop(delivery->message);
        return;
    }
    receiver->scheduled = meld(receiver->scheduled, delivery);
    sgp_actor_expect(receiver, delivery->arrives);
}

uint64_t sgp_deliveries_next(const rank_t *rank) {
    return rank->scheduled ? rank->scheduled->arrives : UINT64_MAX;
}

delivery_t *sgp_deliveries_take(rank_t *rank) {
    delivery_t *delivery = rank->scheduled;
    if (delivery) rank->scheduled = meld_all(delivery->child);
    return delivery;
}
