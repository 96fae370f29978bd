/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/loopback/hub.h"

#include "base/memory.h"
#include "transport/outstanding.h"

#include <stdlib.h>

/* ---- memory, taken when a message begins ---- */

static void put_buffer(sgp_loopback_t *hub, buffer_t *buffer) {
    buffer->next = hub->free_buffers;
    hub->free_buffers = buffer;
    hub->ready_buffers++;
}

static bool make_buffer(sgp_loopback_t *hub) {
    buffer_t *buffer = calloc(1, sizeof *buffer);
    if (!buffer) return false;
    buffer->payload = sgp_memory_alloc(hub->options.chunk_bytes);
    if (!buffer->payload) return free(buffer), false;
    buffer->next_made = hub->made_buffers;
    hub->made_buffers = buffer;
    put_buffer(hub, buffer);
    return true;
}

static void put_delivery(sgp_loopback_t *hub, delivery_t *delivery) {
    delivery->next = hub->free_deliveries;
    hub->free_deliveries = delivery;
    hub->ready_deliveries++;
}

bool sgp_hub_promise(sgp_loopback_t *hub, size_t buffers, size_t deliveries) {
    while (hub->ready_buffers < hub->promised_buffers + buffers)
        if (!make_buffer(hub)) return false;
    while (hub->ready_deliveries < hub->promised_deliveries + deliveries) {
        delivery_t *delivery = malloc(sizeof *delivery);
        if (!delivery) return false;
        put_delivery(hub, delivery);
    }
    if (!sgp_arrivals_reserve(&hub->arrivals,
                              hub->arrivals.count + hub->promised_deliveries + deliveries))
        return false;
    hub->promised_buffers += buffers;
    hub->promised_deliveries += deliveries;
    return true;
}

void sgp_hub_unpromise(sgp_loopback_t *hub, size_t buffers, size_t deliveries) {
    hub->promised_buffers -= buffers;
    hub->promised_deliveries -= deliveries;
}

buffer_t *sgp_hub_take_buffer(sgp_loopback_t *hub) {
    buffer_t *buffer = hub->free_buffers;
    hub->free_buffers = buffer->next;
    hub->ready_buffers--;
    hub->promised_buffers--;
    return buffer;
}

delivery_t *sgp_hub_take_delivery(sgp_loopback_t *hub) {
    delivery_t *delivery = hub->free_deliveries;
    hub->free_deliveries = delivery->next;
    hub->ready_deliveries--;
    hub->promised_deliveries--;
    return delivery;
}

void sgp_hub_drop_buffer(sgp_loopback_t *hub, buffer_t *buffer) {
    if (--buffer->references > 0) return;
    rank_t *sender = &hub->ranks[buffer->src];
    if (sender->transport.incarnation == buffer->incarnation) sender->in_use--;
    if (hub->options.capacity) sgp_contexts_poke_all(&sender->contexts);
    if (!buffer->pins) put_buffer(hub, buffer);
}

void sgp_hub_drop_delivery(sgp_loopback_t *hub, delivery_t *delivery) {
    sgp_hub_drop_buffer(hub, delivery->buffer);
    put_delivery(hub, delivery);
}

/* ---- arrived chunks ---- */

static bool is_early(const rank_t *receiver, const delivery_t *delivery) {
    sgp_fates_t *fates = receiver->transport.fates;
    return sgp_fates_of(fates, delivery->src).state == SGP_FATE_ABSENT ||
           sgp_fates_incarnation(fates, delivery->src) < delivery->buffer->incarnation;
}

static void append(delivery_t ***last, delivery_t *delivery) {
    delivery->next = NULL;
    **last = delivery;
    *last = &delivery->next;
}

void sgp_hub_queue_put(rank_t *receiver, delivery_t *delivery) {
    append(is_early(receiver, delivery) ? &receiver->early_last : &receiver->last, delivery);
}

delivery_t *sgp_hub_queue_take(rank_t *receiver) {
    delivery_t *delivery = receiver->first;
    if (!delivery) return NULL;
    receiver->first = delivery->next;
    if (!receiver->first) receiver->last = &receiver->first;
    return delivery;
}

static delivery_t *take_all_early(rank_t *receiver) {
    delivery_t *early = receiver->early;
    receiver->early = NULL;
    receiver->early_last = &receiver->early;
    return early;
}

/* A seat has been opened. */
static void queue_early(rank_t *receiver) {
    for (delivery_t *next, *at = take_all_early(receiver); at; at = next) {
        next = at->next;
        sgp_hub_queue_put(receiver, at);
    }
}

static void queue_clear(rank_t *receiver) {
    receiver->first = NULL;
    receiver->last = &receiver->first;
}

/* ---- held chunks ---- */

static void hold_in(delivery_t **list, delivery_t *delivery) {
    delivery->before = list;
    delivery->after = *list;
    if (delivery->after) delivery->after->before = &delivery->after;
    *list = delivery;
}

void sgp_hub_hold(rank_t *receiver, delivery_t *delivery) {
    hold_in(&receiver->held, delivery);
}

static void let_go(delivery_t *delivery) {
    *delivery->before = delivery->after;
    if (delivery->after) delivery->after->before = delivery->before;
}

/* By a receiver that was gone: its sender has the room since then. */
static void unpin(sgp_loopback_t *hub, delivery_t *delivery) {
    buffer_t *buffer = delivery->buffer;
    if (--buffer->pins == 0 && buffer->references == 0) put_buffer(hub, buffer);
    put_delivery(hub, delivery);
}

void sgp_hub_release(sgp_loopback_t *hub, delivery_t *delivery) {
    let_go(delivery);
    if (delivery->given_up) {
        unpin(hub, delivery);
        return;
    }
    sgp_transport_t *sender = &hub->ranks[delivery->src].transport;
    if (sender->incarnation == delivery->buffer->incarnation)
        sgp_outstanding_released(sender, delivery->record, delivery->dst);
    sgp_hub_drop_delivery(hub, delivery);
}

/* ---- the end of a rank ---- */

/* A receiver that is gone for one sender, or for all. */
typedef struct parting {
    rank_t *receiver;
    int sender; /* -1: all */
} parting_t;

static bool is_view(const delivery_t *delivery) {
    sgp_header_t header;
    const char *reason;
    return sgp_header_decode(delivery->header, &header, &reason) == SGP_OK &&
           header.kind == SGP_KIND_VIEW;
}

/* Whether the sender gets its room back. A receiver that lives, and was given up, learns that from the views. */
static bool comes_back(const parting_t *parting, const delivery_t *delivery) {
    const rank_t *receiver = parting->receiver;
    if (parting->sender >= 0 && (delivery->src != parting->sender || is_view(delivery)))
        return false;
    return receiver->killed || receiver->hub->ranks[delivery->src].transport.elastic;
}

static bool is_dropped(void *context, const delivery_t *delivery) {
    const parting_t *parting = context;
    return delivery->dst == parting->receiver->transport.rank && comes_back(parting, delivery);
}

static void drop(void *context, delivery_t *delivery) {
    sgp_loopback_t *hub = ((parting_t *)context)->receiver->hub;
    hub->ranks[delivery->src].transport.counters.lost++;
    sgp_hub_drop_delivery(hub, delivery);
}

static void drop_some(parting_t *parting, delivery_t *first) {
    for (delivery_t *next; first; first = next) {
        next = first->next;
        if (comes_back(parting, first)) drop(parting, first);
        else sgp_hub_queue_put(parting->receiver, first);
    }
}

static void drop_queue(parting_t *parting) {
    delivery_t *first = parting->receiver->first;
    queue_clear(parting->receiver);
    drop_some(parting, first);
    drop_some(parting, take_all_early(parting->receiver));
}

/* The receiver's thread may still read these, and releases them. */
static void give_up_held(parting_t *parting) {
    rank_t *receiver = parting->receiver;
    for (delivery_t *next, *at = receiver->held; at; at = next) {
        next = at->after;
        if (!comes_back(parting, at)) continue;
        let_go(at);
        hold_in(&receiver->hub->given_up, at);
        at->given_up = true;
        at->buffer->pins++;
        sgp_hub_drop_buffer(receiver->hub, at->buffer);
    }
}

static void drop_all(parting_t *parting) {
    sgp_arrivals_remove(&parting->receiver->hub->arrivals, is_dropped, drop, parting);
    drop_queue(parting);
    give_up_held(parting);
}

static const char *why_of(sgp_fate_t fate) {
    return fate.cause == SGP_CAUSE_ENDED ? "it ended without leaving" : NULL;
}

bool sgp_hub_is_told(const rank_t *rank, const rank_t *gone) {
    int number = gone->transport.rank;
    return !sgp_hub_knows(rank, gone) ||
           sgp_fates_of(rank->transport.fates, number).state != SGP_FATE_PRESENT;
}

void sgp_hub_tell_end(rank_t *rank, const rank_t *gone) {
    const sgp_loopback_t *hub = rank->hub;
    int number = gone->transport.rank;
    if (sgp_hub_is_told(rank, gone)) return;
    if (sgp_faults_is_cut(&hub->faults, number, rank->transport.rank, hub->clock)) return;
    sgp_fates_set(rank->transport.fates, number, gone->fate, why_of(gone->fate));
    sgp_outstanding_gone(&rank->transport, number);
    sgp_contexts_poke_all(&rank->contexts);
}

/* A rank that ends without leaving after a loss ends because of it, unless losses are nothing to it: every rank knows of
 * the loss. */
static void note_gone(rank_t *rank) {
    const sgp_loopback_t *hub = rank->hub;
    sgp_transport_t *transport = &rank->transport;
    int first = sgp_transport_lost_peer(transport);
    sgp_fate_t fate = sgp_fate_lost(SGP_CAUSE_ENDED);
    if (rank->state == RANK_LEFT) fate = sgp_fate_left();
    else if (first >= 0 && !rank->killed && !transport->elastic) fate = sgp_fate_followed(first);
    rank->fate = fate;
    sgp_transport_note(transport, transport->rank, fate, why_of(fate)); /* the one that logs it */
    for (int r = 0; r < hub->options.seats; r++)
        if (r != transport->rank) sgp_hub_tell_end(&hub->ranks[r], rank);
}

void sgp_hub_end_rank(rank_t *rank, rank_state_t state, bool killed) {
    sgp_loopback_t *hub = rank->hub;
    if (rank->state != RANK_WORKS) return;
    rank->state = state;
    rank->killed = killed;
    note_gone(rank);
    drop_all(&(parting_t){.receiver = rank, .sender = -1});
    for (int r = 0; r < hub->options.seats; r++) sgp_contexts_poke_all(&hub->ranks[r].contexts);
    for (int c = 0; c < SGP_CONTEXTS && killed; c++) /* time is nothing to it any more */
        if (sgp_context_sleeps(&rank->contexts.of[c])) sgp_contexts_end_sleep(&rank->contexts, c);
}

void sgp_hub_give_up(rank_t *of, int rank, sgp_fate_t fate, const char *why) {
    if (!sgp_transport_note(&of->transport, rank, fate, why)) return;
    drop_all(&(parting_t){.receiver = &of->hub->ranks[rank], .sender = of->transport.rank});
    sgp_outstanding_gone(&of->transport, rank);
    sgp_contexts_poke_all(&of->contexts);
}

/* ---- newcomers ---- */

bool sgp_hub_knows(const rank_t *rank, const rank_t *other) {
    sgp_fates_t *fates = rank->transport.fates;
    int seat = other->transport.rank;
    return sgp_fates_of(fates, seat).state != SGP_FATE_ABSENT &&
           sgp_fates_incarnation(fates, seat) == other->transport.incarnation;
}

void sgp_hub_open(rank_t *rank, int seat, uint32_t incarnation) {
    sgp_transport_t *transport = &rank->transport;
    const rank_t *newcomer = &rank->hub->ranks[seat];
    sgp_fates_open(transport->fates, seat, incarnation);
    sgp_outstanding_opened(transport, seat);
    queue_early(rank);
    if (newcomer->state == RANK_WORKS && sgp_hub_knows(rank, newcomer)) return;
    sgp_transport_note(transport, seat, sgp_fate_lost(SGP_CAUSE_ENDED), NULL);
    sgp_outstanding_gone(transport, seat);
}

static bool is_for(void *context, const delivery_t *delivery) {
    return delivery->dst == ((const parting_t *)context)->receiver->transport.rank;
}

static void drop_each(parting_t *parting, delivery_t *first) {
    for (delivery_t *next; first; first = next) {
        next = first->next;
        drop(parting, first);
    }
}

void sgp_hub_clear(rank_t *rank) {
    parting_t parting = {.receiver = rank, .sender = -1};
    sgp_arrivals_remove(&rank->hub->arrivals, is_for, drop, &parting);
    drop_each(&parting, rank->first);
    queue_clear(rank);
    drop_each(&parting, take_all_early(rank));
    while (rank->held) sgp_hub_release(rank->hub, rank->held);
}

static void free_queue(sgp_loopback_t *hub, rank_t *rank) {
    for (delivery_t *at; (at = sgp_hub_queue_take(rank));) sgp_hub_drop_delivery(hub, at);
    for (delivery_t *next, *at = take_all_early(rank); at; at = next) {
        next = at->next;
        sgp_hub_drop_delivery(hub, at);
    }
}

void sgp_hub_free_messages(sgp_loopback_t *hub) {
    for (delivery_t *at; (at = sgp_arrivals_take(&hub->arrivals));) sgp_hub_drop_delivery(hub, at);
    for (int r = 0; r < hub->options.seats; r++) free_queue(hub, &hub->ranks[r]);
    for (int r = 0; r < hub->options.seats; r++)
        while (hub->ranks[r].held) sgp_hub_release(hub, hub->ranks[r].held);
    while (hub->given_up) sgp_hub_release(hub, hub->given_up);
    for (delivery_t *next, *at = hub->free_deliveries; at; at = next) next = at->next, free(at);
    for (buffer_t *next, *at = hub->made_buffers; at; at = next) {
        next = at->next_made;
        sgp_memory_free(at->payload);
        free(at);
    }
    sgp_arrivals_fini(&hub->arrivals);
}
