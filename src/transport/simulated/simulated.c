/* SPDX-License-Identifier: Apache-2.0 */
#include "base/logging.h"
#include "base/memory.h"
#include "transport/simulated/cluster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TELLER_STACK ((size_t)32 << 10)
#define FOREVER      1e6 /* seconds from which on a sleep has no end */

static rank_t *rank_of(sgp_transport_t *transport) {
    return (rank_t *)transport;
}

/* ---- time and sleep ---- */

static uint64_t now(const sgp_simulated_t *cluster) {
    return (uint64_t)llround(cluster->grid->now() * 1e9);
}

static uint64_t simulated_now(sgp_transport_t *transport) {
    return now(rank_of(transport)->cluster);
}

/* Where the program's log lines come from, now that this actor has the thread again. */
static void back(const rank_t *rank) {
    sgp_log_set_rank(rank->transport.rank);
}

static void wake(context_t *context) {
    bool sleeps = context->state == CONTEXT_WAITS || context->state == CONTEXT_PAUSES;
    if (!sleeps || context->woken) return;
    context->woken = true;
    context->rank->cluster->grid->release(context->semaphore);
}

static void poke(context_t *context) {
    context->poked = true;
    wake(context);
}

/* Both contexts of a rank: whoever sends or waits at the time. */
static void poke_rank(rank_t *rank) {
    for (int c = 0; c < CONTEXTS; c++) poke(&rank->contexts[c]);
}

void sgp_simulated_expect(rank_t *receiver, uint64_t arrives) {
    for (int c = 0; c < CONTEXTS; c++) {
        context_t *context = &receiver->contexts[c];
        if (context->state == CONTEXT_WAITS && context->wakes_at > arrives) wake(context);
    }
}

void sgp_simulated_arrived(rank_t *receiver) {
    for (int c = 0; c < CONTEXTS; c++)
        if (receiver->contexts[c].state == CONTEXT_WAITS) wake(&receiver->contexts[c]);
}

/* The context that calls. */
static context_t *self(const rank_t *rank) {
    return rank->cluster->grid->self();
}

static void sleep_until(context_t *context, context_state_t how, uint64_t deadline) {
    const sgp_simgrid_binding_t *grid = context->rank->cluster->grid;
    double seconds = (double)deadline * 1e-9 - grid->now();
    if (seconds <= 0) return;
    if (seconds > FOREVER) seconds = -1;
    context->state = how;
    context->woken = false;
    context->wakes_at = deadline;
    /* A release in the moment in which the time has passed is still to be taken. */
    if (!grid->acquire(context->semaphore, seconds) && context->woken)
        grid->acquire(context->semaphore, -1);
    context->state = CONTEXT_WORKS;
    back(context->rank);
}

/* SimGrid's clock may end a sleep a little before its time. */
static bool is_due(const rank_t *rank) {
    return rank->scheduled && rank->scheduled->arrives <= now(rank->cluster) + 1;
}

static bool has_arrived(const rank_t *rank) {
    return rank->first || is_due(rank);
}

static delivery_t *take_arrived(rank_t *rank) {
    return is_due(rank) ? sgp_schedule_take(rank) : sgp_road_take(rank);
}

/* Until something is there that the caller wants to know. A message at line rate wakes nobody when it arrives, but
 * when it leaves, to sleep until then. */
static void sleep_until_arrival(context_t *context, uint64_t deadline) {
    const rank_t *rank = context->rank;
    do {
        uint64_t next = sgp_schedule_next(rank);
        sleep_until(context, CONTEXT_WAITS, next < deadline ? next : deadline);
    } while (rank->scheduled && !has_arrived(rank) &&
             sgp_transport_lost_peer(&rank->transport) < 0 && !context->poked &&
             now(rank->cluster) < deadline);
}

static sgp_status_t simulated_wait(sgp_transport_t *transport, uint64_t deadline) {
    rank_t *rank = rank_of(transport);
    context_t *context = self(rank);
    if (!has_arrived(rank) && sgp_transport_lost_peer(transport) < 0 && !context->poked)
        sleep_until_arrival(context, deadline);
    bool arrived = has_arrived(rank);
    sgp_status_t status = arrived || context->poked ? SGP_OK : SGP_ERR_TIMEOUT;
    if (!arrived && sgp_transport_lost_peer(transport) >= 0) status = SGP_ERR_PEER_LOST;
    context->poked = false;
    return status;
}

/* ---- the agent ---- */

void sgp_simulated_end_actor(sgp_simulated_t *cluster) {
    if (--cluster->living > 0) return;
    sgp_road_close(cluster);
}

static void agent_main(void *argument) {
    context_t *context = argument;
    back(context->rank);
    context->body(context->body_context);
    context->state = CONTEXT_ENDED;
    poke(&context->rank->contexts[FIRST]);
    sgp_simulated_end_actor(context->rank->cluster);
}

static sgp_status_t simulated_agent_start(sgp_transport_t *transport, void (*body)(void *context),
                                          void *context) {
    rank_t *rank = rank_of(transport);
    context_t *agent = &rank->contexts[AGENT];
    agent->body = body;
    agent->body_context = context;
    agent->state = CONTEXT_WORKS;
    rank->cluster->living++;
    rank->cluster->grid->actor(transport->rank, rank->cluster->options.stack_bytes, agent_main,
                               agent);
    back(rank);
    return SGP_OK;
}

static void simulated_agent_join(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    context_t *context = &rank->contexts[FIRST];
    while (rank->contexts[AGENT].state != CONTEXT_ENDED) {
        sleep_until(context, CONTEXT_PAUSES, UINT64_MAX);
        context->poked = false;
    }
}

/* Actors give way to each other in sleeps and where messages leave, never under the lock: it is always
 * free, and a signal under it waits for its end. */
static void simulated_lock(sgp_transport_t *transport) {
    rank_of(transport)->locked = true;
}

static void simulated_unlock(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    context_t *context = self(rank);
    bool signaled = rank->signaled;
    rank->locked = rank->signaled = false;
    if (!signaled) return;
    poke(&rank->contexts[context == &rank->contexts[FIRST] ? AGENT : FIRST]);
    back(rank);
}

static void simulated_pause(sgp_transport_t *transport, uint64_t deadline) {
    rank_t *rank = rank_of(transport);
    context_t *context = self(rank);
    simulated_unlock(transport);
    if (!context->poked) sleep_until(context, CONTEXT_PAUSES, deadline);
    context->poked = false;
    simulated_lock(transport);
}

static void simulated_signal(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    bool locked = rank->locked;
    rank->signaled = true;
    if (!locked) simulated_unlock(transport);
}

/* ---- room ---- */

/* Chunks of `bytes` of payload, as room is counted. */
static uint64_t chunks_of(const sgp_simulated_t *cluster, double bytes) {
    double chunks = ceil(bytes / cluster->options.room_chunk);
    return chunks < 1 ? 1 : (uint64_t)chunks;
}

static double scale_of(const sgp_simulated_t *cluster, sgp_encoding_t encoding) {
    return encoding == SGP_ENCODING_BYTES ? 1 : cluster->options.scale;
}

/* Only a vector in one of its encodings stands for more than itself. */
static uint64_t chunks_of_room(const sgp_transport_t *transport, size_t bytes, unsigned messages) {
    const rank_t *rank = (const rank_t *)transport;
    const sgp_simulated_options_t *options = &rank->cluster->options;
    bool vector = options->vector && (bytes == options->vector * sizeof(float) ||
                                      bytes == options->vector * sizeof(uint16_t));
    double simulated = (double)bytes * (vector ? options->scale : 1);
    return chunks_of(rank->cluster, simulated) * messages + 2 * (uint64_t)transport->size;
}

static sgp_status_t simulated_prepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    transport->promised += chunks_of_room(transport, bytes, messages);
    return SGP_OK;
}

static void simulated_unprepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    transport->promised -= chunks_of_room(transport, bytes, messages);
}

/* ---- messages ---- */

void sgp_simulated_drop(message_t *message) {
    if (--message->references > 0) return;
    rank_t *sender = message->sender;
    sender->in_use -= message->room;
    if (message->previous) message->previous->next = message->next;
    else sender->cluster->messages = message->next;
    if (message->next) message->next->previous = message->previous;
    sgp_memory_free(message);
    if (!sender->wants_room) return;
    sender->wants_room = false;
    poke_rank(sender);
}

/* Chunks begin at multiples of 64 bytes. */
static size_t padded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static void init_flow(flow_t *flow, message_t *message, int dst, size_t chunks) {
    *flow = (flow_t){.message = message, .dst = dst, .left = chunks};
}

static message_t *make_message(rank_t *sender, const sgp_header_t *header,
                               const sgp_destination_t *to, int destinations) {
    sgp_simulated_t *cluster = sender->cluster;
    size_t chunks = sgp_chunks_of(&sender->transport, header->encoding, header->count);
    size_t deliveries = chunks * (size_t)destinations * sizeof(delivery_t);
    size_t head = padded(sizeof(message_t) + deliveries + (size_t)destinations * sizeof(flow_t));
    size_t payload = (size_t)header->count * sgp_encoding_size(header->encoding);
    message_t *message = sgp_memory_alloc(head + payload + chunks * 64);
    if (!message) return NULL;
    *message = (message_t){.next = cluster->messages,
                           .sender = sender,
                           .references = 1,
                           .unused = message->deliveries,
                           .step = header->step,
                           .waits_its_turn = header->encoding != SGP_ENCODING_BYTES,
                           .flows = (flow_t *)((char *)message->deliveries + deliveries),
                           .place = (unsigned char *)message + head};
    for (int i = 0; i < destinations; i++)
        init_flow(&message->flows[i], message, to[i].dst, chunks);
    if (message->next) message->next->previous = message;
    cluster->messages = message;
    return message;
}

static sgp_status_t simulated_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                         const sgp_destination_t *to, int destinations,
                                         sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    sgp_simulated_t *cluster = rank->cluster;
    double bytes = (double)header->count * (double)sgp_encoding_size(header->encoding);
    uint64_t room = chunks_of(cluster, bytes * scale_of(cluster, header->encoding));
    if (sgp_transport_any_lost(transport, to, destinations)) return SGP_ERR_PEER_LOST;
    if (rank->in_use && rank->in_use + room > transport->promised) {
        rank->wants_room = true;
        return SGP_ERR_AGAIN;
    }
    message_t *message = make_message(rank, header, to, destinations);
    if (!message) return sgp_fail(SGP_ERR_NO_MEMORY, "simulated: no memory for a message");
    message->room = room;
    rank->in_use += room;
    sgp_send_init(transport, header, to, destinations, send);
    send->slot = message;
    return SGP_OK;
}

static void *simulated_send_next(sgp_transport_t *transport, sgp_send_t *send) {
    if (!sgp_send_advance(transport, send)) return NULL;
    message_t *message = send->slot;
    message->place += padded(message->place_bytes);
    message->place_bytes = send->header.elements * sgp_encoding_size(send->header.encoding);
    return message->place;
}

static void take_time(const rank_t *rank, double seconds) {
    if (seconds <= 0) return;
    rank->cluster->grid->sleep(seconds);
    back(rank);
}

static delivery_t *next_delivery(const sgp_send_t *send, const sgp_destination_t *to,
                                 flow_t *flow) {
    message_t *message = send->slot;
    sgp_header_t header = send->header;
    header.weight = to->weight;
    delivery_t *delivery = message->unused++;
    double scale = scale_of(message->sender->cluster, header.encoding);
    *delivery = (delivery_t){.message = message,
                             .flow = flow,
                             .payload = message->place,
                             .dst = to->dst,
                             .bytes = (double)message->place_bytes * scale};
    sgp_header_encode(&header, delivery->header);
    message->references++;
    return delivery;
}

/* The chunk leaves while it is being copied: what takes longer decides. */
static void simulated_send_commit(sgp_transport_t *transport, sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    sgp_simulated_t *cluster = rank->cluster;
    message_t *message = send->slot;
    double bytes = (double)message->place_bytes * scale_of(cluster, send->header.encoding);
    bool whole = send->header.offset + send->header.elements == send->header.count;
    for (int i = 0; i < send->destinations; i++) {
        rank->sent += bytes;
        flow_t *flow = &message->flows[i];
        sgp_road_send(flow, next_delivery(send, &send->to[i], flow));
    }
    if (whole) sgp_simulated_drop(message);
    back(rank);
    if (send->header.encoding != SGP_ENCODING_BYTES)
        take_time(rank, bytes * cluster->options.copy_seconds);
}

static void simulated_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    rank_t *rank = rank_of(transport);
    delivery_t *delivery = chunk->slot;
    double seconds = delivery->bytes * rank->cluster->options.absorb_seconds;
    bool vector = chunk->header.encoding != SGP_ENCODING_BYTES;
    sgp_simulated_drop(delivery->message);
    chunk->slot = NULL;
    back(rank);
    if (vector && rank->state == RANK_WORKS) take_time(rank, seconds);
}

static sgp_status_t simulated_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    rank_t *rank = rank_of(transport);
    for (;;) {
        delivery_t *delivery = take_arrived(rank);
        if (!delivery) return SGP_ERR_AGAIN;
        chunk->slot = delivery;
        chunk->payload = delivery->payload;
        if (sgp_transport_accept(transport, delivery->header, &chunk->header) == SGP_OK)
            return SGP_OK;
        chunk->header.encoding = SGP_ENCODING_BYTES;
        simulated_release(transport, chunk);
    }
}

/* ---- leaving ---- */

static void look_who_met(sgp_simulated_t *cluster) {
    if (cluster->met + cluster->gone < cluster->options.size) return;
    for (int r = 0; r < cluster->options.size; r++)
        if (cluster->ranks[r].state == RANK_WORKS) poke(&cluster->ranks[r].contexts[FIRST]);
}

/* In an actor of its own, as the rank's has ended. */
static void tell_loss(void *argument) {
    rank_t *rank = argument;
    sgp_simulated_t *cluster = rank->cluster;
    cluster->grid->sleep(cluster->options.notice_seconds);
    int of = rank->ended_for;
    sgp_fate_t fate = of < 0 ? sgp_fate_lost(SGP_CAUSE_ENDED) : sgp_fate_followed(of);
    sgp_transport_note(&rank->transport, rank->transport.rank, fate, NULL);
    for (int r = 0; r < cluster->options.size; r++) poke_rank(&cluster->ranks[r]);
    sgp_simulated_end_actor(cluster);
}

static void set_gone(rank_t *rank, rank_state_t state) {
    sgp_simulated_t *cluster = rank->cluster;
    if (rank->state != RANK_WORKS) return;
    rank->state = state;
    rank->ended_for = sgp_transport_lost_peer(&rank->transport);
    if (state == RANK_LEFT)
        sgp_transport_note(&rank->transport, rank->transport.rank, sgp_fate_left(), NULL);
    for (delivery_t *at; (at = take_arrived(rank));) sgp_simulated_drop(at->message);
    for (delivery_t *at; (at = sgp_schedule_take(rank)); rank->transport.counters.lost++)
        sgp_simulated_drop(at->message);
    cluster->gone++;
    look_who_met(cluster);
    if (state != RANK_LOST) return;
    cluster->living++;
    cluster->grid->actor(rank->transport.rank, TELLER_STACK, tell_loss, rank);
}

/* The cluster keeps what is under way. */
static void simulated_leave(sgp_transport_t *transport, uint64_t deadline) {
    (void)deadline;
    set_gone(rank_of(transport), RANK_LEFT);
}

static void simulated_destroy(sgp_transport_t *transport) {
    set_gone(rank_of(transport), RANK_LOST);
}

const sgp_transport_ops_t sgp_simulated_ops = {
    .name = "simulated",
    .now = simulated_now,
    .wait = simulated_wait,
    .prepare = simulated_prepare,
    .unprepare = simulated_unprepare,
    .send_begin = simulated_send_begin,
    .send_next = simulated_send_next,
    .send_commit = simulated_send_commit,
    .receive = simulated_receive,
    .release = simulated_release,
    .agent_start = simulated_agent_start,
    .agent_join = simulated_agent_join,
    .lock = simulated_lock,
    .unlock = simulated_unlock,
    .pause = simulated_pause,
    .signal = simulated_signal,
    .leave = simulated_leave,
    .destroy = simulated_destroy,
};

/* ---- beside the contract ---- */

void sgp_simulated_sleep(sgp_transport_t *transport, uint64_t until) {
    rank_t *rank = rank_of(transport);
    take_time(rank, (double)until * 1e-9 - rank->cluster->grid->now());
}

void sgp_simulated_meet(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    sgp_simulated_t *cluster = rank->cluster;
    cluster->met++;
    look_who_met(cluster);
    while (cluster->met + cluster->gone < cluster->options.size) {
        rank->contexts[FIRST].poked = false;
        sleep_until(&rank->contexts[FIRST], CONTEXT_PAUSES, UINT64_MAX);
    }
}
