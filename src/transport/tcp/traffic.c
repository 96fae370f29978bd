/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/traffic.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"

#include <errno.h>
#include <stdlib.h>

#define REPEATS   3                /* of a damaged chunk; then the peer is lost */
#define MOST_HELD (4 * SGP_SECOND) /* for other messages, while one is served */
#define MOST_PAUSE                                                                                 \
    (16 * SGP_SECOND)   /* without a word from the receiver, which speaks each MOST_HELD */
#define TURN       16   /* chunks and reads of a connection before the next one is served */
#define LAST_READS 4096 /* that empty a socket whose peer has ended, whatever its buffer holds */

static const sgp_turn_t no_turn;

/* ---- turns ---- */

/* The receiver holds the next chunk. */
static bool is_paused(const sgp_traffic_t *traffic, const sgp_connection_t *connection) {
    const sgp_flow_t *flow = &traffic->flows[connection->peer];
    const sgp_post_t *post = flow->queue.first;
    return flow->allowed && post && post->turn.order &&
           flow->allowed != sgp_turn_of_step(post->turn.step);
}

/* Of the message that a connection sends next. */
static const sgp_turn_t *outgoing(const sgp_traffic_t *traffic,
                                  const sgp_connection_t *connection) {
    bool open = connection->state == SGP_CONNECTION_OPEN;
    if (!connection->caller || !open || connection->mute) return &no_turn;
    if (connection->sending) return &connection->sending->turn;
    const sgp_post_t *post = traffic->flows[connection->peer].queue.first;
    return post && !is_paused(traffic, connection) ? &post->turn : &no_turn;
}

static const sgp_turn_t *incoming(const sgp_traffic_t *traffic,
                                  const sgp_connection_t *connection) {
    return connection->caller ? &no_turn : &traffic->flows[connection->peer].arriving;
}

/* The connection must not begin its next chunk. */
static bool is_held(const sgp_traffic_t *traffic, const sgp_connection_t *connection) {
    return is_paused(traffic, connection) ||
           !sgp_scheduler_may(&traffic->out, outgoing(traffic, connection));
}

static void watch(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    if (connection->state != SGP_CONNECTION_OPEN) return;
    bool posts = connection->caller && sgp_traffic_waits_for(traffic, connection->peer) &&
                 !is_held(traffic, connection);
    bool clogged = !connection->caller && sgp_connection_is_clogged(connection);
    sgp_connection_watch(connection, posts, clogged);
}

/* A message is held by its sender, on request. If it were only not read here, the kernel would take
 * in megabytes of it, which use the link just the same. So senders are told in advance. The next
 * message begins when all of this one is here: a connection that starts while the end of another is
 * under way overflows the switch's queue, the lost end is sent again 200 ms later, and steps of
 * 1680 ms took 1900. */
static void tell_turn(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    uint32_t *told = &traffic->flows[connection->peer].told;
    uint32_t turn = sgp_scheduler_turn(&traffic->in);
    if (connection->state != SGP_CONNECTION_OPEN || turn == *told) return;
    *told = turn;
    sgp_edges_say(traffic->edges, connection, SGP_FRAME_TURN, turn);
}

/* ---- posts ---- */

void sgp_traffic_seat(sgp_traffic_t *traffic, int rank) {
    sgp_flow_t *flow = &traffic->flows[rank];
    sgp_flow_fini(flow);
    sgp_flow_init(flow, false);
    traffic->due = true;
}

bool sgp_traffic_waits_for(const sgp_traffic_t *traffic, int rank) {
    return traffic->flows[rank].queue.first != NULL;
}

/* Its slot goes back to the owner. released: by the receiver; otherwise it is gone. */
static void end_post(sgp_traffic_t *traffic, sgp_post_t *post, bool released) {
    uint32_t slot = post->slot, record = released ? post->record : 0;
    int dst = post->dst;
    sgp_chunk_pool_free_post(traffic->pool, post);
    sgp_slots_give_back(traffic->slots, dst, slot, record);
}

/* Queues posts by receiver, and calls receivers that have no edge yet. Chunks of a message leave in
 * the order in which the receiver needs them: one in parts is posted in the order of the backward
 * pass, the last layers first, while the next forward pass waits for the first ones. */
static void queue_posts(sgp_traffic_t *traffic, sgp_post_t *post) {
    for (sgp_post_t *next; post; post = next) {
        next = post->next;
        post->state = SGP_POST_QUEUED;
        if (traffic->flows[post->dst].gone) {
            end_post(traffic, post, false);
            continue;
        }
        traffic->due |= sgp_flow_begin_posting(&traffic->flows[post->dst], &traffic->out, post);
        sgp_post_list_insert(&traffic->flows[post->dst].queue, post);
    }
    for (int r = 0; r < traffic->edges->capacity; r++)
        if (sgp_traffic_waits_for(traffic, r)) sgp_edges_call(traffic->edges, r);
}

void sgp_traffic_give_up(sgp_traffic_t *traffic, int rank) {
    sgp_connection_t *out = traffic->edges->of[rank].out;
    sgp_flow_t *flow = &traffic->flows[rank];
    flow->gone = true;
    sgp_post_list_take(&flow->queue); /* the pool's table has them, too */
    traffic->due = true;
    if (out) sgp_connection_break_off(out);
    sgp_post_t *post = sgp_chunk_pool_posts_to(traffic->pool, rank);
    for (sgp_post_t *next; post; post = next) {
        next = post->next;
        end_post(traffic, post, post->state == SGP_POST_DONE);
    }
}

/* The edge to the rank has ended: what it had not released is sent again over the next one, under the same tickets. */
static void queue_again(sgp_traffic_t *traffic, int rank) {
    sgp_flow_t *flow = &traffic->flows[rank];
    sgp_post_t *post = sgp_posts_sort(sgp_chunk_pool_posts_to(traffic->pool, rank));
    sgp_post_list_take(&flow->queue);
    for (sgp_post_t *next; post; post = next) {
        next = post->next;
        if (post->state == SGP_POST_DONE) {
            end_post(traffic, post, true);
            continue;
        }
        if (post->state == SGP_POST_SENT)
            atomic_fetch_add(&traffic->slots->transport.counters.resent, 1);
        post->state = SGP_POST_QUEUED;
        sgp_post_list_add(&flow->queue, post);
    }
}

/* After edges have ended. */
static void look_at_ends(sgp_traffic_t *traffic) {
    for (int r = 0; r < traffic->edges->capacity; r++) {
        sgp_flow_t *flow = &traffic->flows[r];
        const sgp_connection_t *out = traffic->edges->of[r].out;
        if (!flow->over || (out && out->number == flow->over)) continue;
        flow->over = 0;
        if (traffic->slots->transport.elastic && !flow->gone) queue_again(traffic, r);
    }
}

/* ---- sending ---- */

/* A rank that hears of the departure takes a missing edge for a sign that nothing more comes. */
static bool edges_are_missing(const sgp_traffic_t *traffic) {
    for (int r = 0; r < traffic->edges->capacity; r++) {
        const sgp_connection_t *out = traffic->edges->of[r].out;
        bool open = out && out->state == SGP_CONNECTION_OPEN;
        if (!open && sgp_traffic_waits_for(traffic, r)) return true;
    }
    return false;
}

static void leave(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    if (connection->state != SGP_CONNECTION_OPEN || connection->said_leave) return;
    bool left = sgp_losses_state(&traffic->edges->losses, connection->peer) == SGP_FATE_LEFT;
    if (connection->mute || left) {
        sgp_edges_close(traffic->edges, connection);
        return;
    }
    if (connection->sending) return;
    if (connection->caller && sgp_traffic_waits_for(traffic, connection->peer)) return;
    if (edges_are_missing(traffic)) return;
    sgp_edges_say(traffic->edges, connection, SGP_FRAME_LEAVE, 0);
}

/* Begins the next chunk of the queue. false: there is none, or it must wait. */
static bool next_chunk(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    if (!connection->caller || connection->said_leave || is_held(traffic, connection)) return false;
    sgp_post_t *post = sgp_post_list_pop(&traffic->flows[connection->peer].queue);
    if (post) sgp_connection_begin_chunk(connection, post);
    return post != NULL;
}

static bool hear(sgp_traffic_t *traffic, sgp_connection_t *connection);

/* The peer has ended; frames that it sent before, which may tell why, are still unread. */
static void read_last(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    int error = connection->error;
    for (int reads = 0; reads < LAST_READS && hear(traffic, connection); reads++) {
    }
    if (connection->state == SGP_CONNECTION_OPEN)
        sgp_edges_ended(traffic->edges, connection, error);
}

/* false: nothing more can be sent now. */
static bool send_some(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    sgp_post_t *post = connection->sending;
    size_t bytes;
    sgp_sent_t sent = sgp_connection_send(connection, &bytes);
    if (bytes) sgp_scheduler_moved(&traffic->out, &post->turn, bytes);
    switch (sent) {
    case SGP_SENT_SOME:
        return true;
    case SGP_SENT_NONE:
        return false;
    case SGP_SENT_FAILED:
        read_last(traffic, connection);
        return false;
    case SGP_SENT_POST:
        break;
    }
    if (post->state == SGP_POST_DONE) {
        end_post(traffic, post, true);
        return true;
    }
    post->state = SGP_POST_SENT;
    if (post->turn.order && outgoing(traffic, connection)->order != post->turn.order)
        traffic->due = true; /* its message is out */
    return true;
}

void sgp_traffic_send(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    if (connection->state != SGP_CONNECTION_OPEN) return;
    if (traffic->edges->leaves) leave(traffic, connection);
    for (int chunks = 0; chunks < TURN && connection->state == SGP_CONNECTION_OPEN;) {
        if (connection->mute) break;
        if (!connection->sending && !sgp_connection_has_frames(connection)) {
            if (!next_chunk(traffic, connection)) break;
            chunks++;
        }
        if (!send_some(traffic, connection)) break;
    }
    if (traffic->edges->leaves) leave(traffic, connection);
    watch(traffic, connection);
}

void sgp_traffic_send_all(sgp_traffic_t *traffic) {
    sgp_connection_t *each = traffic->edges->connections.first;
    for (; each; each = each->next) sgp_traffic_send(traffic, each);
}

/* ---- frames ---- */

/* A chunk that came over an earlier connection, and is about to be sent again. */
static bool heard_released_before(sgp_traffic_t *traffic, sgp_connection_t *connection,
                                  uint32_t ticket) {
    int peer = connection->peer;
    sgp_post_t *post = sgp_chunk_pool_find_queued(traffic->pool, peer, ticket);
    if (!post || !traffic->slots->transport.elastic) return false;
    if (sgp_post_list_remove(&traffic->flows[peer].queue, post)) end_post(traffic, post, true);
    else post->state = SGP_POST_DONE; /* it is being sent */
    return true;
}

/* The receiver has absorbed a chunk. */
static void heard_released(sgp_traffic_t *traffic, sgp_connection_t *connection, uint32_t ticket) {
    sgp_post_t *post = sgp_chunk_pool_find_sent(traffic->pool, connection->peer, ticket);
    if (post) end_post(traffic, post, true);
    else if (heard_released_before(traffic, connection, ticket)) return;
    else if (!traffic->edges->leaves && !connection->mute)
        sgp_edges_fail(traffic->edges, connection, SGP_CAUSE_NONSENSE,
                       "it acknowledged a chunk that was not in flight");
}

/* The chunk came damaged. */
static void heard_repeat(sgp_traffic_t *traffic, sgp_connection_t *connection, uint32_t ticket) {
    sgp_post_t *post = sgp_chunk_pool_find_sent(traffic->pool, connection->peer, ticket);
    if (!post || ++post->repeats > REPEATS) {
        sgp_edges_fail(traffic->edges, connection, SGP_CAUSE_NONSENSE,
                       "it asked too often for a chunk, or for one that was not sent");
        return;
    }
    atomic_fetch_add(&traffic->slots->transport.counters.resent, 1);
    post->state = SGP_POST_QUEUED;
    sgp_post_list_add(&traffic->flows[connection->peer].queue, post);
}

static void heard_turn(sgp_traffic_t *traffic, int rank, uint32_t turn) {
    traffic->flows[rank].allowed = turn;
    traffic->flows[rank].allowed_at = sgp_clock_now();
    traffic->due = true;
}

static void heard_frame(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    sgp_frame_kind_t kind = connection->stream.kind;
    uint32_t value = connection->stream.value;
    if (kind == SGP_FRAME_TURN && connection->caller) heard_turn(traffic, connection->peer, value);
    else if (kind == SGP_FRAME_RELEASED) heard_released(traffic, connection, value);
    else if (kind == SGP_FRAME_REPEAT) heard_repeat(traffic, connection, value);
    else sgp_edges_heard(traffic->edges, connection, kind, value);
}

/* ---- arrivals ---- */

static void note_memory(sgp_traffic_t *traffic, bool enough) {
    if (!enough && !traffic->short_of_memory)
        sgp_log(SGP_LOG_WARNING, "tcp: no memory to receive a chunk: it is tried again");
    traffic->short_of_memory = !enough;
}

static sgp_arrival_t *take_place(sgp_traffic_t *traffic, int src) {
    bool no_memory;
    sgp_arrival_t *arrival = sgp_chunk_pool_take_place(traffic->pool, src, &no_memory);
    note_memory(traffic, !no_memory);
    return arrival;
}

/* false: it is no chunk of the peer. */
static bool accept_chunk(sgp_traffic_t *traffic, const sgp_connection_t *connection,
                         sgp_header_t *header) {
    return !connection->caller && connection->stream.value < SGP_RECEIPTS_MOST &&
           sgp_transport_accept(&traffic->slots->transport, connection->stream.header, header) ==
               SGP_OK &&
           header->src == connection->peer;
}

/* A chunk that came whole over an earlier connection is read, and thrown away. Its sender may not know that it was
 * released. false: no memory. */
static bool begin_repeated(sgp_traffic_t *traffic, sgp_connection_t *connection,
                           const sgp_header_t *header) {
    sgp_receipts_t *receipts = &traffic->flows[connection->peer].receipts;
    uint32_t ticket = connection->stream.value;
    if (!traffic->waste) traffic->waste = malloc(traffic->pool->chunk_bytes);
    if (!traffic->waste) return false;
    if (sgp_receipts_repeat(receipts, ticket, connection->number))
        sgp_edges_say(traffic->edges, connection, SGP_FRAME_RELEASED, ticket);
    sgp_connection_waste(connection, traffic->waste, header);
    return true;
}

static bool begin_new(sgp_traffic_t *traffic, sgp_connection_t *connection,
                      const sgp_header_t *header) {
    traffic->due |=
        sgp_flow_begin_arriving(&traffic->flows[connection->peer], &traffic->in, header);
    sgp_arrival_t *arrival = take_place(traffic, connection->peer);
    if (arrival) sgp_connection_place(connection, arrival, header);
    return arrival != NULL;
}

/* A chunk's head has been read: finds a place for its payload. false: the connection stops here. */
static bool begin_arrival(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    sgp_header_t header;
    sgp_receipts_t *receipts = &traffic->flows[connection->peer].receipts;
    uint32_t ticket = connection->stream.value;
    if (!accept_chunk(traffic, connection, &header)) {
        sgp_edges_fail(traffic->edges, connection, SGP_CAUSE_NONSENSE, "it sent an invalid chunk");
        return false;
    }
    bool room = sgp_receipts_reserve(receipts, ticket);
    if (room && sgp_receipts_has(receipts, ticket, &header, connection->number))
        room = begin_repeated(traffic, connection, &header);
    else if (room) return begin_new(traffic, connection, &header);
    if (!room) note_memory(traffic, false);
    return room;
}

/* Asks for the chunk again, three times at most. */
static void refuse_damaged(sgp_traffic_t *traffic, sgp_connection_t *connection,
                           sgp_arrival_t *arrival, int times) {
    sgp_transport_t *transport = &traffic->slots->transport;
    uint32_t ticket = arrival->ticket;
    sgp_rank_name_t name;
    sgp_chunk_pool_give_place(traffic->pool, arrival);
    atomic_fetch_add(&transport->counters.refused, 1);
    if (times > REPEATS) {
        sgp_edges_fail(traffic->edges, connection, SGP_CAUSE_NONSENSE,
                       "a chunk of it came damaged %d times", times);
        return;
    }
    sgp_log(SGP_LOG_WARNING, "tcp: a chunk from %s is damaged: it is to be sent again",
            sgp_transport_name(transport, connection->peer, &name));
    sgp_edges_say(traffic->edges, connection, SGP_FRAME_REPEAT, ticket);
}

static void end_arrival(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    int damaged;
    if (!connection->arriving) return; /* it was wasted */
    sgp_arrival_t *arrival = sgp_connection_take_arrival(connection, &damaged);
    if (damaged) {
        refuse_damaged(traffic, connection, arrival, damaged);
        return;
    }
    sgp_flow_t *flow = &traffic->flows[connection->peer];
    sgp_receipts_note(&flow->receipts, arrival->ticket, &arrival->header, connection->number);
    traffic->due |= sgp_flow_end_arriving(flow, &arrival->header);
    sgp_chunk_pool_deliver(traffic->pool, arrival);
    sgp_slots_arrived_elsewhere(traffic->slots);
}

/* Handles all bytes read. false: the connection is closed or stalled. */
static bool take_events(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    for (;;) {
        switch (sgp_connection_next(connection)) {
        case SGP_STREAM_MORE:
            return true;
        case SGP_STREAM_FRAME:
            heard_frame(traffic, connection);
            break;
        case SGP_STREAM_CHUNK:
            if (!begin_arrival(traffic, connection)) return false;
            break;
        case SGP_STREAM_WHOLE:
            end_arrival(traffic, connection);
            break;
        case SGP_STREAM_BROKEN:
            sgp_edges_fail(traffic->edges, connection, SGP_CAUSE_NONSENSE,
                           "it sent bytes that are no frame");
            return false;
        }
        if (connection->state != SGP_CONNECTION_OPEN) return false;
    }
}

static void warn_of_altered(sgp_traffic_t *traffic, const sgp_connection_t *connection) {
    sgp_transport_t *transport = &traffic->slots->transport;
    sgp_rank_name_t name;
    atomic_fetch_add(&transport->counters.refused, 1);
    sgp_log(SGP_LOG_WARNING, "tcp: what %s sent was altered on the way: the connection is closed",
            sgp_transport_name(transport, connection->peer, &name));
}

/* Reads once. false: there is no more now, or the connection is closed. */
static bool hear(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    size_t bytes;
    if (connection->stalled) return false;
    sgp_heard_t heard = sgp_connection_read(connection, &bytes);
    if (heard == SGP_HEARD_END && connection->error == EBADMSG)
        warn_of_altered(traffic, connection);
    if (heard == SGP_HEARD_END) sgp_edges_ended(traffic->edges, connection, connection->error);
    if (!bytes) return heard == SGP_HEARD_ALL;
    sgp_scheduler_moved(&traffic->in, incoming(traffic, connection), bytes);
    return take_events(traffic, connection) && heard == SGP_HEARD_ALL;
}

void sgp_traffic_receive(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    for (int reads = 0; reads < TURN && connection->state == SGP_CONNECTION_OPEN; reads++)
        if (!hear(traffic, connection) || sgp_connection_is_clogged(connection)) break;
    sgp_traffic_send(traffic, connection);
}

/* Continues with a chunk for which there was no place. */
static void feed(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    if (!connection->stalled || !begin_arrival(traffic, connection)) return;
    if (take_events(traffic, connection)) sgp_traffic_receive(traffic, connection);
}

static void feed_all(sgp_traffic_t *traffic) {
    sgp_connection_t *each = traffic->edges->connections.first;
    for (; each; each = each->next) feed(traffic, each);
}

/* Of a receiver that has stopped, and is not known to be lost yet. */
static void end_long_pauses(sgp_traffic_t *traffic, uint64_t now) {
    for (int r = 0; r < traffic->edges->capacity; r++) {
        sgp_flow_t *flow = &traffic->flows[r];
        if (!flow->allowed || now - flow->allowed_at < MOST_PAUSE) continue;
        flow->allowed = 0;
        traffic->due = true;
    }
}

void sgp_traffic_retry(sgp_traffic_t *traffic) {
    if (traffic->short_of_memory) feed_all(traffic);
    end_long_pauses(traffic, sgp_clock_now());
}

void sgp_traffic_begin(sgp_traffic_t *traffic, sgp_connection_t *connection) {
    sgp_flow_t *flow = &traffic->flows[connection->peer];
    if (connection->caller) flow->allowed = 0, flow->over = connection->number;
    else flow->arriving = no_turn, flow->told = 0;
    sgp_traffic_send(traffic, connection);
}

/* ---- the owner's ---- */

/* Tells the senders. */
static void tell_released(sgp_traffic_t *traffic, sgp_arrival_t *arrival) {
    for (sgp_arrival_t *next; arrival; arrival = next) {
        sgp_connection_t *in = traffic->edges->of[arrival->src].in;
        sgp_receipts_t *receipts = &traffic->flows[arrival->src].receipts;
        uint32_t number = in && in->state == SGP_CONNECTION_OPEN ? in->number : 0;
        next = arrival->next;
        bool present = arrival->header.incarnation == traffic->edges->of[arrival->src].incarnation;
        if (present && sgp_receipts_release(receipts, arrival->ticket, number))
            sgp_edges_say(traffic->edges, in, SGP_FRAME_RELEASED, arrival->ticket);
        sgp_chunk_pool_give_place(traffic->pool, arrival);
    }
}

void sgp_traffic_collect(sgp_traffic_t *traffic) {
    sgp_post_t *posts;
    sgp_arrival_t *released;
    bool refused = sgp_chunk_pool_collect(traffic->pool, &posts, &released);
    queue_posts(traffic, posts);
    tell_released(traffic, released);
    if (refused) feed_all(traffic);
}

bool sgp_traffic_has_left(const sgp_traffic_t *traffic) {
    const sgp_connection_t *each = traffic->edges->connections.first;
    for (; each; each = each->next)
        if (sgp_edges_delays_leaving(each)) return false;
    for (int r = 0; r < traffic->edges->capacity; r++)
        if (sgp_traffic_waits_for(traffic, r)) return false;
    return true;
}

/* ---- schedules ---- */

/* Shows the schedulers the messages under way. A connection that is stalled leaves the link to
 * others. */
static void survey(sgp_traffic_t *traffic) {
    sgp_scheduler_look(&traffic->in);
    sgp_scheduler_look(&traffic->out);
    const sgp_connection_t *each = traffic->edges->connections.first;
    for (; each; each = each->next) {
        if (each->state != SGP_CONNECTION_OPEN) continue;
        if (each->caller) sgp_scheduler_see(&traffic->out, outgoing(traffic, each));
        else if (!each->stalled) sgp_scheduler_see(&traffic->in, incoming(traffic, each));
    }
}

static void serve(sgp_traffic_t *traffic) {
    sgp_connection_t *each = traffic->edges->connections.first;
    for (; each; each = each->next) {
        if (each->caller) sgp_traffic_send(traffic, each);
        else tell_turn(traffic, each), watch(traffic, each);
    }
}

/* A link holds messages, or may hold some. Which ones other ranks hold for the link in is known to
 * them alone. */
static bool is_watched(const sgp_scheduler_t *scheduler, bool in) {
    return in ? scheduler->first.order != 0 : sgp_scheduler_contended(scheduler);
}

bool sgp_traffic_schedule(sgp_traffic_t *traffic) {
    if (traffic->closed != traffic->edges->closed) { /* their messages are over */
        traffic->closed = traffic->edges->closed;
        traffic->due = true;
        look_at_ends(traffic);
    }
    while (traffic->due) { /* the end of one message may admit the next */
        traffic->due = false;
        survey(traffic);
        serve(traffic);
    }
    bool in = is_watched(&traffic->in, true), out = is_watched(&traffic->out, false);
    if (!in) sgp_scheduler_rest(&traffic->in);
    if (!out) sgp_scheduler_rest(&traffic->out);
    return in || out;
}

static bool look(const sgp_traffic_t *traffic, sgp_scheduler_t *scheduler, bool in) {
    uint64_t quarter = traffic->edges->peer_timeout / 4;
    return is_watched(scheduler, in) &&
           sgp_scheduler_watch(scheduler, sgp_clock_now(),
                               quarter < MOST_HELD ? quarter : MOST_HELD);
}

void sgp_traffic_look(sgp_traffic_t *traffic) {
    bool in = look(traffic, &traffic->in, true), out = look(traffic, &traffic->out, false);
    if (in || out) traffic->due = true;
}

/* ---- making and ending ---- */

sgp_status_t sgp_traffic_init(sgp_traffic_t *traffic, sgp_edges_t *edges, sgp_chunk_pool_t *pool,
                              sgp_slots_t *slots) {
    *traffic = (sgp_traffic_t){.edges = edges, .pool = pool, .slots = slots};
    traffic->flows = calloc((size_t)edges->capacity, sizeof *traffic->flows);
    if (!traffic->flows)
        return sgp_fail(SGP_ERR_NO_MEMORY, "tcp: no memory to connect %d nodes", edges->capacity);
    for (int r = 0; r < edges->capacity; r++)
        sgp_flow_init(&traffic->flows[r], sgp_losses_state(&edges->losses, r) == SGP_FATE_ABSENT);
    return SGP_OK;
}

void sgp_traffic_fini(sgp_traffic_t *traffic) {
    for (int r = 0; traffic->flows && r < traffic->edges->capacity; r++)
        sgp_flow_fini(&traffic->flows[r]);
    free(traffic->flows);
    free(traffic->waste);
}
