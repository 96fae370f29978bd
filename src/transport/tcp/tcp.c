/* SPDX-License-Identifier: Apache-2.0 */
/* The transport's calls. Chunks are written into slots. A local rank gets the slot's number in a
 * ring; for other ranks the chunk is put into the pool, and the progress thread sends it. */
#include "transport/tcp/tcp.h"

#include "base/logging.h"
#include "transport/shm/descriptor.h"
#include "transport/shm/local_ranks.h"
#include "transport/tcp/tcp_engine.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct tcp {
    sgp_slots_t slots; /* first: a transport is its slots, and these are a tcp */
    sgp_local_ranks_t local;
    sgp_tcp_engine_t engine;
    bool has_engine;
    sgp_descriptor_t descriptor;
} tcp_t;

static tcp_t *tcp_of(sgp_transport_t *transport) {
    return (tcp_t *)transport;
}

static sgp_status_t tcp_prepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    tcp_t *tcp = tcp_of(transport);
    sgp_status_t status = sgp_slots_prepare(transport, bytes, messages);
    if (status != SGP_OK) return status;
    sgp_chunk_pool_allow(&tcp->engine.pool, transport->promised);
    sgp_tcp_engine_wake(&tcp->engine);
    return SGP_OK;
}

/* ---- sending ---- */

/* Posts of so many chunks to the ranks that are not local. */
static size_t posts_of(const tcp_t *tcp, size_t chunks, const sgp_destination_t *to,
                       int destinations) {
    size_t posts = 0;
    for (int i = 0; i < destinations; i++)
        if (!sgp_slots_is_local(&tcp->slots, to[i].dst)) posts += chunks;
    return posts;
}

static bool reserve_posts(tcp_t *tcp, size_t chunks, const sgp_destination_t *to,
                          int destinations) {
    size_t posts = posts_of(tcp, chunks, to, destinations);
    return !posts || sgp_chunk_pool_reserve(&tcp->engine.pool, posts);
}

static sgp_status_t tcp_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                   const sgp_destination_t *to, int destinations,
                                   sgp_send_t *send) {
    tcp_t *tcp = tcp_of(transport);
    size_t chunks = sgp_chunks_of(transport, header->encoding, header->count);
    sgp_status_t status = sgp_slots_send_begin(transport, header, to, destinations, send);
    if (status != SGP_OK || reserve_posts(tcp, chunks, to, destinations)) return status;
    sgp_slots_send_abandon(transport, send);
    return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for a message of %zu chunks",
                    transport->ops->name, chunks);
}

/* To a rank that is not local; the thread may give the slot back before this returns. */
static bool carry(sgp_slots_t *slots, const sgp_send_t *send, uint32_t slot,
                  const sgp_destination_t *to, uint32_t record) {
    tcp_t *tcp = tcp_of(&slots->transport);
    if (sgp_tcp_engine_is_gone(&tcp->engine, to->dst)) {
        sgp_chunk_pool_cancel(&tcp->engine.pool, 1);
        return false;
    }
    sgp_header_t header = send->header;
    header.weight = to->weight;
    sgp_own_slots_hold(&slots->own_slots, slot, to->dst);
    sgp_chunk_pool_post(&tcp->engine.pool, to->dst, &header, sgp_region_payload(&slots->own, slot),
                        slot, record);
    return true;
}

static void tcp_send_commit(sgp_transport_t *transport, sgp_send_t *send) {
    tcp_t *tcp = tcp_of(transport);
    if (sgp_slots_commit(&tcp->slots, send, carry)) sgp_tcp_engine_wake(&tcp->engine);
}

static void tcp_send_abandon(sgp_transport_t *transport, sgp_send_t *send) {
    tcp_t *tcp = tcp_of(transport);
    size_t posts = posts_of(tcp, send->left, send->to, send->destinations);
    if (posts) sgp_chunk_pool_cancel(&tcp->engine.pool, posts);
    sgp_slots_send_abandon(transport, send);
}

/* ---- receiving ---- */

static void tcp_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    tcp_t *tcp = tcp_of(transport);
    if (sgp_slots_is_of_local(&tcp->slots, chunk)) {
        sgp_slots_release(transport, chunk);
        return;
    }
    sgp_chunk_pool_release(&tcp->engine.pool, chunk->slot);
    chunk->slot = NULL;
    sgp_tcp_engine_wake(&tcp->engine);
}

/* Of a member whose seat has been opened for another since the chunk was accepted. */
static bool is_late(const sgp_transport_t *transport, const sgp_chunk_t *chunk) {
    return chunk->header.incarnation < sgp_fates_incarnation(transport->fates, chunk->header.src);
}

static sgp_status_t tcp_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    tcp_t *tcp = tcp_of(transport);
    if (sgp_slots_receive(transport, chunk) == SGP_OK) return SGP_OK;
    while (atomic_load(&tcp->slots.elsewhere)) {
        sgp_arrival_t *arrival = sgp_chunk_pool_receive(&tcp->engine.pool);
        if (!arrival) break;
        sgp_slots_received_elsewhere(&tcp->slots);
        *chunk =
            (sgp_chunk_t){.header = arrival->header, .payload = arrival->place, .slot = arrival};
        if (!is_late(transport, chunk)) return SGP_OK;
        atomic_fetch_add(&transport->counters.refused, 1);
        tcp_release(transport, chunk);
    }
    return SGP_ERR_AGAIN;
}

/* ---- newcomers ---- */

static sgp_status_t tcp_open(sgp_transport_t *transport, int seat, uint32_t incarnation,
                             const sgp_address_t *address) {
    tcp_t *tcp = tcp_of(transport);
    if (!address)
        return sgp_fail(SGP_ERR_INVALID, "%s: a newcomer without an address", transport->ops->name);
    sgp_status_t status = sgp_slots_open_begin(&tcp->slots, seat, incarnation);
    if (status != SGP_OK) return status;
    sgp_newcomer_t newcomer = {.seat = seat, .incarnation = incarnation, .address = *address};
    sgp_tcp_engine_open(&tcp->engine, &newcomer);
    sgp_slots_open_end(&tcp->slots, seat);
    return SGP_OK;
}

static void tcp_admit(sgp_transport_t *transport, bool admits) {
    sgp_visitors_admit(&tcp_of(transport)->engine.visitors, admits);
}

static bool tcp_take_visitor(sgp_transport_t *transport, sgp_visitor_t *visitor) {
    return sgp_visitors_take(&tcp_of(transport)->engine.visitors, visitor);
}

static bool tcp_address_of(sgp_transport_t *transport, int seat, sgp_address_t *address) {
    *address = *sgp_tcp_engine_address(&tcp_of(transport)->engine, seat);
    return address->length > 0;
}

/* ---- losses and the end ---- */

/* Of a local rank. */
static void note_local(void *owner, int rank, sgp_fate_t fate, const char *why) {
    tcp_t *tcp = owner;
    if (fate.state == SGP_FATE_LOST) sgp_tcp_engine_note(&tcp->engine, rank, fate, why);
    else sgp_slots_note(&tcp->slots, rank, fate, why);
}

static uint64_t tcp_silence(sgp_transport_t *transport, int rank) {
    tcp_t *tcp = tcp_of(transport);
    if (sgp_slots_is_local(&tcp->slots, rank))
        return sgp_heartbeat_silence(&tcp->local.heartbeat, rank);
    return sgp_tcp_engine_silence(&tcp->engine, rank, sgp_slots_now(transport));
}

static void tcp_give_up(sgp_transport_t *transport, int rank, sgp_fate_t fate, const char *why) {
    tcp_t *tcp = tcp_of(transport);
    if (sgp_slots_is_local(&tcp->slots, rank)) sgp_slots_strike_off(&tcp->slots, rank);
    sgp_tcp_engine_note(&tcp->engine, rank, fate, why);
}

/* A local rank has posted its last chunk before it left, whoever tells of that. */
static bool tcp_has_ended(sgp_transport_t *transport, int rank) {
    tcp_t *tcp = tcp_of(transport);
    return sgp_slots_is_local(&tcp->slots, rank) ? sgp_transport_has_left(transport, rank)
                                                 : sgp_tcp_engine_has_ended(&tcp->engine, rank);
}

static int tcp_descriptor(sgp_transport_t *transport) {
    tcp_t *tcp = tcp_of(transport);
    return sgp_descriptor_open(&tcp->descriptor, &tcp->slots.own);
}

static void tcp_rearm(sgp_transport_t *transport) {
    sgp_descriptor_rearm(&tcp_of(transport)->descriptor);
}

static void tcp_leave(sgp_transport_t *transport, uint64_t deadline) {
    sgp_tcp_engine_leave(&tcp_of(transport)->engine, deadline);
    sgp_slots_leave(transport, deadline);
}

static void tcp_abort(sgp_transport_t *transport) {
    sgp_tcp_engine_abort(&tcp_of(transport)->engine);
    sgp_slots_abort(transport);
}

/* In the order of use: the heartbeat calls the engine, which reads from the slots. */
static void tcp_destroy(sgp_transport_t *transport) {
    tcp_t *tcp = tcp_of(transport);
    sgp_descriptor_fini(&tcp->descriptor);
    sgp_local_ranks_fini(&tcp->local);
    if (tcp->has_engine) sgp_tcp_engine_fini(&tcp->engine);
    sgp_slots_fini(&tcp->slots);
    free(tcp);
}

/* ---- connecting ---- */

#define OPS(user_name)                                                                             \
    {                                                                                              \
        .name = (user_name), .now = sgp_slots_now, .wait = sgp_slots_wait,                         \
        .has_ended = tcp_has_ended, .prepare = tcp_prepare, .unprepare = sgp_slots_unprepare,      \
        .send_begin = tcp_send_begin, .send_next = sgp_slots_send_next,                            \
        .send_chunk = sgp_slots_send_chunk, .send_commit = tcp_send_commit,                        \
        .send_abandon = tcp_send_abandon, .take_back = sgp_slots_take_back, .open = tcp_open,      \
        .admit = tcp_admit, .take_visitor = tcp_take_visitor, .address_of = tcp_address_of,        \
        .silence = tcp_silence, .give_up = tcp_give_up, .look_at_self = sgp_slots_look_at_self,    \
        .attend = sgp_slots_attend, .keep_close = sgp_slots_keep_close, .receive = tcp_receive,    \
        .release = tcp_release, .agent_start = sgp_slots_agent_start,                              \
        .agent_join = sgp_slots_agent_join, .lock = sgp_slots_lock, .unlock = sgp_slots_unlock,    \
        .pause = sgp_slots_pause, .signal = sgp_slots_signal, .descriptor = tcp_descriptor,        \
        .rearm = tcp_rearm, .leave = tcp_leave, .abort = tcp_abort, .destroy = tcp_destroy,        \
    }

/* With the name that the user knows: auto, if some ranks share memory. */
static const sgp_transport_ops_t tcp_ops = OPS("tcp"), auto_ops = OPS("auto");

static const sgp_transport_ops_t *ops_of(const sgp_tcp_options_t *options) {
    for (int r = 0; options->local && !options->seats && r < options->size; r++)
        if (options->local[r] && r != options->rank) return &auto_ops;
    return &tcp_ops;
}

/* To ranks on other machines. */
static bool has_links(const sgp_tcp_options_t *options) {
    for (int r = 0; r < options->size; r++)
        if (r != options->rank && (!options->local || !options->local[r])) return true;
    return false;
}

/* The transport and its slots; *tcp is set, for tcp_destroy, if there was memory for it. */
static sgp_status_t make(const sgp_tcp_options_t *options, tcp_t **tcp) {
    tcp_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "tcp: no memory for a transport");
    sgp_slots_options_t slots = {.ops = ops_of(options),
                                 .rank = options->rank,
                                 .size = options->size,
                                 .capacity = options->capacity,
                                 .incarnation = options->incarnation,
                                 .seats = options->seats,
                                 .run = options->run,
                                 .chunk_bytes = options->chunk_bytes};
    *tcp = made;
    sgp_status_t status = sgp_slots_init(&made->slots, &slots);
    made->slots.transport.takes_turns = has_links(options); /* scheduler.h */
    return status;
}

/* The local ranks first, and then the neighbours. */
static sgp_status_t connect_all(tcp_t *tcp, const sgp_tcp_options_t *options) {
    sgp_local_options_t local = {.local = options->local,
                                 .rendezvous = options->rendezvous,
                                 .timeout_ms = options->timeout_ms,
                                 .peer_timeout_ms = options->peer_timeout_ms,
                                 .patience = options->patience};
    sgp_status_t status = SGP_OK;
    tcp->slots.note = note_local;
    if (tcp->slots.transport.ops == &auto_ops)
        status = sgp_local_ranks_meet(&tcp->local, &tcp->slots, &local);
    if (status == SGP_OK) status = sgp_tcp_engine_start(&tcp->engine, options);
    if (status == SGP_OK) sgp_local_ranks_watch(&tcp->local);
    return status;
}

sgp_status_t sgp_tcp_connect(const sgp_tcp_options_t *options, sgp_transport_t **transport) {
    tcp_t *tcp = NULL;
    sgp_status_t status = make(options, &tcp);
    if (status != SGP_OK) close(options->listener);
    else status = sgp_tcp_engine_init(&tcp->engine, options, &tcp->slots);
    if (tcp) tcp->has_engine = status == SGP_OK;
    if (status == SGP_OK) status = connect_all(tcp, options);
    if (status == SGP_OK) *transport = &tcp->slots.transport;
    else if (tcp) tcp_destroy(&tcp->slots.transport);
    return status;
}
