/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/loopback/hub.h"

#include "base/memory.h"

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
    sender->in_use--;
    if (hub->options.capacity) sgp_contexts_poke_all(&sender->contexts);
    put_buffer(hub, buffer);
}

void sgp_hub_drop_delivery(sgp_loopback_t *hub, delivery_t *delivery) {
    sgp_hub_drop_buffer(hub, delivery->buffer);
    put_delivery(hub, delivery);
}

/* ---- arrived chunks ---- */

void sgp_hub_queue_put(rank_t *receiver, delivery_t *delivery) {
    delivery->next = NULL;
    *receiver->last = delivery;
    receiver->last = &delivery->next;
}

delivery_t *sgp_hub_queue_take(rank_t *receiver) {
    delivery_t *delivery = receiver->first;
    if (!delivery) return NULL;
    receiver->first = delivery->next;
    if (!receiver->first) receiver->last = &receiver->first;
    return delivery;
}

void sgp_hub_free_messages(sgp_loopback_t *hub) {
    for (delivery_t *at; (at = sgp_arrivals_take(&hub->arrivals));) sgp_hub_drop_delivery(hub, at);
    for (int r = 0; r < hub->options.size; r++)
        for (delivery_t *at; (at = sgp_hub_queue_take(&hub->ranks[r]));)
            sgp_hub_drop_delivery(hub, at);
    for (delivery_t *next, *at = hub->free_deliveries; at; at = next) next = at->next, free(at);
    for (buffer_t *next, *at = hub->made_buffers; at; at = next) {
        next = at->next_made;
        sgp_memory_free(at->payload);
        free(at);
    }
    sgp_arrivals_fini(&hub->arrivals);
}
