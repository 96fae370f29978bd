/* SPDX-License-Identifier: Apache-2.0 */
#include "base/logging.h"
#include "transport/outstanding.h"
#include "transport/simulated/actor_contexts.h"
#include "transport/simulated/cluster.h"
#include "transport/simulated/deliveries.h"
#include "transport/simulated/network_path.h"
#include "transport/simulated/simulated_message.h"

#include <math.h>
#include <stdlib.h>

#define NOTICE_STACK ((size_t)32 << 10)

static rank_t *rank_of(sgp_transport_t *transport) {
    return (rank_t *)transport;
}

/* ---- time and sleep ---- */

static uint64_t simulated_now(sgp_transport_t *transport) {
    return sgp_cluster_now(rank_of(transport)->cluster);
}

/* SimGrid's clock may end a sleep a little before its time. */
static bool is_due(const rank_t *rank) {
    return rank->scheduled && rank->scheduled->arrives <= sgp_cluster_now(rank->cluster) + 1;
}

static bool has_arrived(const rank_t *rank) {
    return rank->first || is_due(rank);
}

static delivery_t *take_arrived(rank_t *rank) {
    return is_due(rank) ? sgp_deliveries_take(rank) : sgp_path_take(rank);
}

/* A delivery at line rate wakes its receiver when it leaves, not when it arrives: the receiver then sleeps until its
 * arrival. */
static void sleep_until_arrival(rank_t *rank, const sgp_context_t *context, uint64_t deadline) {
    do {
        uint64_t next = sgp_deliveries_next(rank);
        sgp_contexts_sleep(&rank->contexts, SGP_CONTEXT_WAITS, next < deadline ? next : deadline);
    } while (rank->scheduled && !has_arrived(rank) &&
             !sgp_transport_loss_ends_wait(&rank->transport) && !context->poked &&
             sgp_cluster_now(rank->cluster) < deadline);
}

static sgp_status_t simulated_wait(sgp_transport_t *transport, uint64_t deadline) {
    rank_t *rank = rank_of(transport);
    const sgp_context_t *context = sgp_contexts_self(&rank->contexts);
    if (!has_arrived(rank) && !sgp_transport_loss_ends_wait(transport) && !context->poked)
        sleep_until_arrival(rank, context, deadline);
    bool arrived = has_arrived(rank), poked = sgp_contexts_take_poke(&rank->contexts);
    sgp_status_t status = arrived || poked ? SGP_OK : SGP_ERR_TIMEOUT;
    if (!arrived && sgp_transport_loss_ends_wait(transport)) status = SGP_ERR_PEER_LOST;
    return status;
}

/* ---- the agent ---- */

/* The end of an actor that transfers no chunks: with the last one the simulation ends. Yields. */
static void end_actor(sgp_simulated_t *cluster) {
    if (--cluster->living == 0) sgp_path_close(cluster);
}

static void agent_main(void *argument) {
    const actor_t *actor = argument;
    rank_t *rank = actor->rank;
    sgp_actor_resume(rank);
    rank->contexts.body(rank->contexts.body_context);
    sgp_contexts_end_agent(&rank->contexts);
    end_actor(rank->cluster);
}

static sgp_status_t simulated_agent_start(sgp_transport_t *transport, void (*body)(void *context),
                                          void *context) {
    rank_t *rank = rank_of(transport);
    sgp_contexts_begin_agent(&rank->contexts, body, context);
    rank->cluster->living++;
    rank->cluster->grid->actor(transport->rank, rank->cluster->options.stack_bytes, agent_main,
                               &rank->actors[SGP_CONTEXT_AGENT]);
    sgp_actor_resume(rank);
    return SGP_OK;
}

static void simulated_agent_join(sgp_transport_t *transport) {
    sgp_contexts_await_agent(&rank_of(transport)->contexts);
}

/* Actors yield in sleeps and when messages leave, never under the lock: so it is always free, and a signal under it is
 * delivered by unlock. */
static void simulated_lock(sgp_transport_t *transport) {
    rank_of(transport)->locked = true;
}

static void simulated_unlock(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    bool signaled = rank->signaled;
    rank->locked = rank->signaled = false;
    if (!signaled) return;
    sgp_contexts_signal(&rank->contexts);
    sgp_actor_resume(rank);
}

static void simulated_pause(sgp_transport_t *transport, uint64_t deadline) {
    simulated_unlock(transport);
    sgp_contexts_pause(&rank_of(transport)->contexts, deadline);
    simulated_lock(transport);
}

static void simulated_signal(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    bool locked = rank->locked;
    rank->signaled = true;
    if (!locked) simulated_unlock(transport);
}

/* ---- room ---- */

/* Chunks of room that simulated bytes take. */
static uint64_t chunks_of(const sgp_simulated_t *cluster, double bytes) {
    double chunks = ceil(bytes / cluster->options.room_chunk);
    return chunks < 1 ? 1 : (uint64_t)chunks;
}

static double scale_of(const sgp_simulated_t *cluster, sgp_encoding_t encoding) {
    return encoding == SGP_ENCODING_BYTES ? 1 : cluster->options.scale;
}

/* Only a vector, in one of its encodings, stands for more bytes than its own. */
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
    return SGP_OK; /* send_begin allocates */
}

static void simulated_unprepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    transport->promised -= chunks_of_room(transport, bytes, messages);
}

/* ---- messages ---- */

static sgp_status_t simulated_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                         const sgp_destination_t *to, int destinations,
                                         sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    sgp_simulated_t *cluster = rank->cluster;
    double bytes = (double)header->count * (double)sgp_encoding_room(header->encoding);
    uint64_t room = chunks_of(cluster, bytes * scale_of(cluster, header->encoding));
    if (sgp_transport_any_lost(transport, to, destinations)) return SGP_ERR_PEER_LOST;
    if (rank->in_use && rank->in_use + room > transport->promised) {
        rank->wants_room = true;
        return SGP_ERR_AGAIN;
    }
    sgp_send_init(transport, header, to, destinations, send);
    sgp_status_t status = sgp_outstanding_begin(transport, send);
    if (status != SGP_OK) return status;
    message_t *message = sgp_simulated_message_create(rank, header, to, destinations, room);
    if (!message) {
        sgp_outstanding_abandoned(transport, send);
        return sgp_fail(SGP_ERR_NO_MEMORY, "simulated: no memory for a message");
    }
    for (int i = 0; transport->elastic && i < destinations; i++)
        message->flows[i].gone =
            sgp_fates_of(transport->fates, to[i].dst).state != SGP_FATE_PRESENT;
    rank->in_use += room;
    send->slot = message;
    return SGP_OK;
}

/* Of the current chunk. */
static void *place_of(const sgp_transport_t *transport, sgp_send_t *send) {
    sgp_encoding_t encoding = send->header.encoding;
    size_t full = sgp_encoding_fit(encoding, transport->chunk_bytes);
    size_t index = (size_t)send->header.offset / full;
    return sgp_simulated_message_place(send->slot, index,
                                       sgp_encoding_bytes(encoding, send->header.elements));
}

static void *simulated_send_next(sgp_transport_t *transport, sgp_send_t *send) {
    return sgp_send_advance(transport, send) ? place_of(transport, send) : NULL;
}

static void *simulated_send_chunk(sgp_transport_t *transport, sgp_send_t *send, uint64_t index) {
    sgp_send_select(transport, send, index);
    return place_of(transport, send);
}

static void take_time(const rank_t *rank, double seconds) {
    if (seconds <= 0) return;
    rank->cluster->grid->sleep(seconds);
    sgp_actor_resume(rank);
}

/* Yields. */
static void send_to(rank_t *rank, const sgp_send_t *send, int destination, uint32_t record) {
    message_t *message = send->slot;
    flow_t *flow = &message->flows[destination];
    double scale = scale_of(rank->cluster, send->header.encoding);
    if (flow->gone) {
        rank->transport.counters.lost++;
        sgp_path_abandon(flow, 1);
        return;
    }
    rank->sent += (double)message->place_bytes * scale;
    sgp_path_send(flow, sgp_simulated_message_deliver(message, &send->header,
                                                      &send->to[destination], record, flow, scale));
}

/* The chunk leaves while it is being copied: the longer of the two decides. */
static void simulated_send_commit(sgp_transport_t *transport, sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    sgp_simulated_t *cluster = rank->cluster;
    message_t *message = send->slot;
    double scale = scale_of(cluster, send->header.encoding);
    double bytes = (double)message->place_bytes * scale;
    uint32_t record = send->records;
    sgp_send_committed(send);
    sgp_outstanding_committed(transport, send);
    for (int i = 0; i < send->destinations; i++) {
        uint32_t next = sgp_outstanding_next(transport, record);
        send_to(rank, send, i, record);
        record = next;
    }
    if (send->left == 0) sgp_simulated_message_drop(message);
    sgp_actor_resume(rank);
    if (send->header.encoding != SGP_ENCODING_BYTES)
        take_time(rank, bytes * cluster->options.copy_seconds);
}

static void simulated_send_abandon(sgp_transport_t *transport, sgp_send_t *send) {
    message_t *message = send->slot;
    size_t left = (size_t)send->left;
    sgp_outstanding_abandoned(transport, send);
    sgp_send_abandoned(send);
    if (!left) return;
    for (int i = 0; i < send->destinations; i++) sgp_path_abandon(&message->flows[i], left);
    sgp_simulated_message_drop(message);
    sgp_actor_resume(rank_of(transport));
}

static void simulated_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    rank_t *rank = rank_of(transport);
    delivery_t *delivery = chunk->slot;
    double seconds = delivery->bytes * rank->cluster->options.absorb_seconds;
    bool vector = chunk->header.encoding != SGP_ENCODING_BYTES;
    sgp_simulated_message_release(delivery);
    chunk->slot = NULL;
    sgp_actor_resume(rank);
    if (vector && rank->state == RANK_WORKS) take_time(rank, seconds);
}

static sgp_status_t simulated_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    rank_t *rank = rank_of(transport);
    for (;;) {
        delivery_t *delivery = take_arrived(rank);
        if (!delivery) return SGP_ERR_AGAIN;
        delivery->received = true;
        chunk->slot = delivery;
        chunk->payload = delivery->payload;
        if (sgp_transport_accept(transport, delivery->header, &chunk->header) == SGP_OK)
            return SGP_OK;
        chunk->header.encoding = SGP_ENCODING_BYTES;
        simulated_release(transport, chunk);
    }
}

/* ---- leaving ---- */

static void end_barrier(sgp_simulated_t *cluster) {
    if (cluster->at_barrier + cluster->gone < cluster->options.size) return;
    for (int r = 0; r < cluster->options.size; r++)
        if (cluster->ranks[r].state == RANK_WORKS)
            sgp_contexts_poke(&cluster->ranks[r].contexts, SGP_CONTEXT_FIRST);
}

/* The others know that the rank is gone. Yields. */
static void tell(rank_t *rank, sgp_fate_t fate) {
    sgp_simulated_t *cluster = rank->cluster;
    sgp_transport_note(&rank->transport, rank->transport.rank, fate, NULL);
    for (int r = 0; r < cluster->options.size; r++)
        sgp_outstanding_gone(&cluster->ranks[r].transport, rank->transport.rank);
    sgp_path_give_up(cluster, rank->transport.rank);
    bool left = fate.state == SGP_FATE_LEFT; /* of which an elastic rank alone is told */
    for (int r = 0; r < cluster->options.size; r++)
        if (!left || cluster->ranks[r].transport.elastic)
            sgp_contexts_poke_all(&cluster->ranks[r].contexts);
}

/* Tells the others of a loss, in an actor of its own: the rank's has ended. */
static void notice_loss(void *argument) {
    rank_t *rank = argument;
    sgp_simulated_t *cluster = rank->cluster;
    cluster->grid->sleep(cluster->options.notice_seconds);
    int of = rank->transport.elastic ? -1 : rank->ended_for;
    tell(rank, of < 0 ? sgp_fate_lost(SGP_CAUSE_ENDED) : sgp_fate_followed(of));
    end_actor(cluster);
}

static void set_gone(rank_t *rank, rank_state_t state) {
    sgp_simulated_t *cluster = rank->cluster;
    if (rank->state != RANK_WORKS) return;
    rank->state = state;
    rank->ended_for = sgp_transport_lost_peer(&rank->transport);
    if (state == RANK_LEFT) tell(rank, sgp_fate_left());
    for (delivery_t *at; (at = take_arrived(rank));) sgp_simulated_message_drop(at->message);
    for (delivery_t *at; (at = sgp_deliveries_take(rank)); rank->transport.counters.lost++)
        sgp_simulated_message_drop(at->message);
    cluster->gone++;
    end_barrier(cluster);
    if (state != RANK_LOST) return;
    cluster->living++;
    cluster->grid->actor(rank->transport.rank, NOTICE_STACK, notice_loss, rank);
}

static void simulated_leave(sgp_transport_t *transport, uint64_t deadline) {
    (void)deadline; /* the cluster keeps the messages under way */
    set_gone(rank_of(transport), RANK_LEFT);
}

static void simulated_destroy(sgp_transport_t *transport) {
    set_gone(rank_of(transport), RANK_LOST);
}

static const sgp_transport_ops_t simulated_ops = {
    .name = "simulated",
    .now = simulated_now,
    .wait = simulated_wait,
    .prepare = simulated_prepare,
    .unprepare = simulated_unprepare,
    .send_begin = simulated_send_begin,
    .send_next = simulated_send_next,
    .send_chunk = simulated_send_chunk,
    .send_commit = simulated_send_commit,
    .send_abandon = simulated_send_abandon,
    .take_back = sgp_outstanding_take_back,
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

/* ---- the ranks of a cluster ---- */

static void rank_init(rank_t *rank, sgp_simulated_t *cluster, int number) {
    rank->transport = (sgp_transport_t){.ops = &simulated_ops,
                                        .rank = number,
                                        .size = cluster->options.size,
                                        .capacity = cluster->options.size,
                                        .run = 1,
                                        .chunk_bytes = cluster->options.chunk_bytes,
                                        .fates = cluster->fates,
                                        .virtual_time = true,
                                        .one_thread = true};
    rank->cluster = cluster;
    rank->last = &rank->first;
    sgp_actor_contexts_init(rank);
}

sgp_status_t sgp_simulated_load(void) {
    const sgp_simgrid_binding_t *grid;
    return sgp_cluster_load(&grid);
}

sgp_status_t sgp_simulated_create(const sgp_simulated_options_t *options,
                                  sgp_simulated_t **cluster) {
    sgp_simulated_t *made;
    sgp_status_t status = sgp_cluster_create(options, &made);
    if (status != SGP_OK) return status;
    for (int r = 0; r < options->size; r++) rank_init(&made->ranks[r], made, r);
    *cluster = made;
    return SGP_OK;
}

void sgp_simulated_destroy(sgp_simulated_t *cluster) {
    if (!cluster) return;
    sgp_simulated_message_free_all(cluster);
    for (int r = 0; r < cluster->options.size; r++) {
        sgp_outstanding_fini(&cluster->ranks[r].transport);
        sgp_actor_contexts_fini(&cluster->ranks[r]);
    }
    sgp_cluster_destroy(cluster);
}

sgp_transport_t *sgp_simulated_transport(sgp_simulated_t *cluster, int rank) {
    return &cluster->ranks[rank].transport;
}

static void rank_main(void *argument) {
    const actor_t *actor = argument;
    rank_t *rank = actor->rank;
    sgp_actor_resume(rank);
    rank->body(&rank->transport, rank->body_context);
    end_actor(rank->cluster);
}

void sgp_simulated_actor(sgp_simulated_t *cluster, int rank,
                         void (*body)(sgp_transport_t *transport, void *context), void *context) {
    rank_t *made = &cluster->ranks[rank];
    made->body = body;
    made->body_context = context;
    cluster->living++;
    cluster->grid->actor(rank, cluster->options.stack_bytes, rank_main,
                         &made->actors[SGP_CONTEXT_FIRST]);
}

void sgp_simulated_run(sgp_simulated_t *cluster) {
    cluster->grid->run();
    sgp_log_set_rank(-1);
}

/* ---- beside the contract ---- */

void sgp_simulated_sleep(sgp_transport_t *transport, uint64_t until) {
    rank_t *rank = rank_of(transport);
    take_time(rank, (double)until * 1e-9 - rank->cluster->grid->now());
}

void sgp_simulated_barrier(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    sgp_simulated_t *cluster = rank->cluster;
    cluster->at_barrier++;
    end_barrier(cluster);
    while (cluster->at_barrier + cluster->gone < cluster->options.size) {
        sgp_contexts_take_poke(&rank->contexts);
        sgp_contexts_sleep(&rank->contexts, SGP_CONTEXT_PAUSES, UINT64_MAX);
    }
}

void sgp_simulated_route(const sgp_simulated_t *cluster, int src, int dst, double *latency,
                         double *bandwidth) {
    cluster->grid->route(src, dst, latency, bandwidth);
}

double sgp_simulated_sent(const sgp_transport_t *transport) {
    return ((const rank_t *)transport)->sent;
}
