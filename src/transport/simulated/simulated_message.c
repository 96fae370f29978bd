/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/simulated/simulated_message.h"

#include "base/memory.h"
#include "transport/outstanding.h"

/* Chunks begin at multiples of 64 bytes. */
static size_t padded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* Between the places of two chunks; of one that fills no chunk: its bytes. */
static size_t stride_of(const rank_t *sender, const sgp_header_t *header) {
    size_t full = sgp_encoding_fit(header->encoding, sender->transport.chunk_bytes);
    size_t count = header->count < full ? (size_t)header->count : full;
    return padded(sgp_encoding_bytes(header->encoding, count));
}

static void init_flow(flow_t *flow, message_t *message, int dst, size_t chunks) {
    *flow = (flow_t){.message = message, .dst = dst, .left = chunks};
}

message_t *sgp_simulated_message_create(rank_t *sender, const sgp_header_t *header,
                                        const sgp_destination_t *to, int destinations,
                                        uint64_t room) {
    sgp_simulated_t *cluster = sender->cluster;
    size_t chunks = sgp_chunks_of(&sender->transport, header->encoding, header->count);
    size_t deliveries = chunks * (size_t)destinations * sizeof(delivery_t);
    size_t head = padded(sizeof(message_t) + deliveries + (size_t)destinations * sizeof(flow_t));
    message_t *message = sgp_memory_alloc(head + chunks * stride_of(sender, header));
    if (!message) return NULL;
    *message = (message_t){.next = cluster->messages,
                           .sender = sender,
                           .room = room,
                           .references = 1,
                           .destinations = destinations,
                           .unused = message->deliveries,
                           .step = header->step,
                           .waits_its_turn = header->encoding != SGP_ENCODING_BYTES,
                           .flows = (flow_t *)((char *)message->deliveries + deliveries),
                           .places = (unsigned char *)message + head,
                           .stride = stride_of(sender, header)};
    for (int i = 0; i < destinations; i++)
        init_flow(&message->flows[i], message, to[i].dst, chunks);
    if (message->next) message->next->previous = message;
    cluster->messages = message;
    return message;
}

void *sgp_simulated_message_place(message_t *message, size_t index, size_t bytes) {
    message->place = message->places + index * message->stride;
    message->place_bytes = bytes;
    return message->place;
}

delivery_t *sgp_simulated_message_deliver(message_t *message, const sgp_header_t *header,
                                          const sgp_destination_t *to, uint32_t record,
                                          flow_t *flow, double scale) {
    sgp_header_t own = *header;
    own.weight = to->weight;
    delivery_t *delivery = message->unused++;
    *delivery = (delivery_t){.message = message,
                             .flow = flow,
                             .payload = message->place,
                             .dst = to->dst,
                             .record = record,
                             .bytes = (double)message->place_bytes * scale};
    sgp_header_encode(&own, delivery->header);
    message->references++;
    return delivery;
}

static void free_message(message_t *message) {
    rank_t *sender = message->sender;
    if (message->previous) message->previous->next = message->next;
    else sender->cluster->messages = message->next;
    if (message->next) message->next->previous = message->previous;
    sgp_memory_free(message);
}

void sgp_simulated_message_drop(message_t *message) {
    if (--message->references > 0) return;
    rank_t *sender = message->sender;
    sender->in_use -= message->room;
    if (!message->pins) free_message(message);
    if (!sender->wants_room) return;
    sender->wants_room = false;
    sgp_contexts_poke_all(&sender->contexts);
}

void sgp_simulated_message_release(delivery_t *delivery) {
    message_t *message = delivery->message;
    delivery->received = false;
    if (!delivery->given_up) {
        sgp_outstanding_released(&message->sender->transport, delivery->record, delivery->dst);
        sgp_simulated_message_drop(message);
    } else if (--message->pins == 0 && message->references == 0) {
        free_message(message);
    }
}

void sgp_simulated_message_give_up(message_t *message, int rank) {
    for (delivery_t *at = message->deliveries; at < message->unused; at++) {
        if (at->dst != rank || !at->received || at->given_up) continue;
        at->given_up = true;
        message->pins++;
        message->references--;
    }
}

void sgp_simulated_message_free_all(sgp_simulated_t *cluster) {
    for (message_t *next, *at = cluster->messages; at; at = next) {
        next = at->next;
        sgp_memory_free(at);
    }
    cluster->messages = NULL;
}
