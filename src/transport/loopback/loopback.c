/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/loopback/loopback.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"
#include "base/random.h"
#include "transport/loopback/hearing.h"
#include "transport/loopback/hub.h"
#include "transport/loopback/turns.h"
#include "transport/loopback/virtual_clock.h"
#include "transport/outstanding.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static rank_t *rank_of(sgp_transport_t *transport) {
    return (rank_t *)transport;
}

/* ---- calls ---- */

static void end_rank(rank_t *rank, rank_state_t state, bool killed) {
    if (rank->state != RANK_WORKS) return;
    sgp_hub_end_rank(rank, state, killed);
    if (rank->hub->options.virtual_time) sgp_virtual_clock_advance(rank->hub);
}

/* Takes the hub's lock. false: the rank is killed, by this call or before. */
static bool begin_call(rank_t *rank) {
    sgp_loopback_t *hub = rank->hub;
    sgp_turns_lock(hub);
    rank->calls++;
    if (sgp_faults_kill_at_call(&hub->faults, rank->transport.rank, rank->calls))
        end_rank(rank, RANK_LOST, true);
    return !rank->killed;
}

static void end_call(rank_t *rank) {
    sgp_turns_unlock(rank->hub);
}

uint64_t sgp_loopback_calls(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    sgp_turns_lock(rank->hub);
    uint64_t calls = rank->calls;
    sgp_turns_unlock(rank->hub);
    return calls;
}

/* ---- time ---- */

static uint64_t loopback_now(sgp_transport_t *transport) {
    const rank_t *rank = rank_of(transport);
    sgp_loopback_t *hub = rank->hub;
    if (!hub->options.virtual_time) return sgp_clock_now();
    sgp_turns_lock(hub);
    uint64_t now = rank->killed ? UINT64_MAX : hub->clock;
    sgp_turns_unlock(hub);
    return now;
}

static sgp_status_t loopback_wait(sgp_transport_t *transport, uint64_t deadline) {
    rank_t *rank = rank_of(transport);
    bool alive = begin_call(rank);
    if (alive && !rank->first && !sgp_transport_loss_ends_wait(transport))
        sgp_contexts_sleep(&rank->contexts, SGP_CONTEXT_WAITS, deadline);
    bool poked = sgp_contexts_take_poke(&rank->contexts); /* as by each event of the fates */
    sgp_status_t status = rank->first || poked ? SGP_OK : SGP_ERR_TIMEOUT;
    if (!rank->first && sgp_transport_loss_ends_wait(transport)) status = SGP_ERR_PEER_LOST;
    if (rank->killed) status = SGP_ERR_PEER_LOST;
    end_call(rank);
    return status;
}

/* The hub keeps the messages of a rank that has left. Its seat may have another member, which this one does not know yet. */
static bool loopback_has_ended(sgp_transport_t *transport, int rank) {
    sgp_loopback_t *hub = rank_of(transport)->hub;
    sgp_turns_lock(hub);
    const rank_t *other = &hub->ranks[rank];
    bool known = sgp_hub_knows(rank_of(transport), other);
    bool left = !known || (other->state == RANK_LEFT && sgp_hub_is_told(rank_of(transport), other));
    bool ended = left && !sgp_arrivals_any(&hub->arrivals, rank, transport->rank);
    sgp_turns_unlock(hub);
    return ended;
}

/* ---- the agent ---- */

static void *agent_main(void *argument) {
    rank_t *rank = argument;
    sgp_loopback_t *hub = rank->hub;
    sgp_turns_lock(hub);            /* until rank->agent is set */
    if (hub->options.one_at_a_time) /* its turn comes once the first context sleeps */
        sgp_contexts_sleep(&rank->contexts, SGP_CONTEXT_PAUSES, hub->clock);
    sgp_turns_unlock(hub);
    sgp_log_set_rank(rank->transport.rank);
    rank->contexts.body(rank->contexts.body_context);
    sgp_turns_lock(hub);
    sgp_contexts_end_agent(&rank->contexts);
    if (hub->options.virtual_time) sgp_virtual_clock_advance(hub);
    sgp_turns_unlock(hub);
    return NULL;
}

static sgp_status_t loopback_agent_start(sgp_transport_t *transport, void (*body)(void *context),
                                         void *context) {
    rank_t *rank = rank_of(transport);
    sgp_turns_lock(rank->hub);
    int error = pthread_create(&rank->agent, NULL, agent_main, rank);
    if (!error) sgp_contexts_begin_agent(&rank->contexts, body, context);
    sgp_turns_unlock(rank->hub);
    if (!error) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "a thread for messages cannot be started: %s",
                    strerror(error));
}

static void loopback_agent_join(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    sgp_turns_lock(rank->hub);
    sgp_contexts_await_agent(&rank->contexts);
    sgp_turns_unlock(rank->hub);
    pthread_join(rank->agent, NULL);
}

static void loopback_lock(sgp_transport_t *transport) {
    pthread_mutex_lock(&rank_of(transport)->shared);
}

static void loopback_unlock(sgp_transport_t *transport) {
    pthread_mutex_unlock(&rank_of(transport)->shared);
}

static void loopback_pause(sgp_transport_t *transport, uint64_t deadline) {
    rank_t *rank = rank_of(transport);
    pthread_mutex_unlock(&rank->shared);
    bool lives = begin_call(rank);
    if (lives) sgp_contexts_pause(&rank->contexts, deadline);
    end_call(rank);
    /* A killed rank does not sleep: its other context, which may wait for the lock, gets its turn all the same. */
    if (!lives) nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
    pthread_mutex_lock(&rank->shared);
}

static void loopback_signal(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    sgp_turns_lock(rank->hub);
    sgp_contexts_signal(&rank->contexts);
    sgp_turns_unlock(rank->hub);
}

/* The books of a rank are changed by its receivers as well, under the hub's lock. */
static sgp_status_t prepare_books(rank_t *rank, uint64_t promised) {
    sgp_turns_lock(rank->hub);
    sgp_status_t status = sgp_outstanding_prepare(&rank->transport, promised);
    sgp_turns_unlock(rank->hub);
    return status;
}

static sgp_status_t loopback_prepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    /* send_begin allocates. */
    uint64_t wanted = transport->promised + sgp_chunks_of_room(transport, bytes, messages);
    sgp_status_t status = sgp_transport_check_room(transport, wanted);
    if (status == SGP_OK) status = prepare_books(rank_of(transport), wanted);
    if (status == SGP_OK) transport->promised = wanted;
    return status;
}

static void loopback_unprepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    transport->promised -= sgp_chunks_of_room(transport, bytes, messages);
}

/* The memory of its chunks is promised. */
static sgp_status_t begin_message(rank_t *rank, const sgp_header_t *header,
                                  const sgp_destination_t *to, int destinations, sgp_send_t *send) {
    sgp_send_init(&rank->transport, header, to, destinations, send);
    sgp_status_t status = sgp_outstanding_begin(&rank->transport, send);
    if (status == SGP_OK) rank->in_use += send->left;
    else sgp_hub_unpromise(rank->hub, send->left, send->left * (size_t)destinations);
    return status;
}

static sgp_status_t loopback_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                        const sgp_destination_t *to, int destinations,
                                        sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    sgp_loopback_t *hub = rank->hub;
    size_t chunks = sgp_chunks_of(transport, header->encoding, header->count);
    sgp_status_t status = begin_call(rank) ? SGP_OK : SGP_ERR_PEER_LOST;
    if (sgp_transport_any_lost(transport, to, destinations)) status = SGP_ERR_PEER_LOST;
    if (status == SGP_OK && hub->options.capacity && rank->in_use &&
        rank->in_use + chunks > hub->options.capacity)
        status = SGP_ERR_AGAIN;
    if (status == SGP_OK && !sgp_hub_promise(hub, chunks, chunks * (size_t)destinations))
        status = sgp_fail(SGP_ERR_NO_MEMORY, "loopback: no memory for %zu chunks", chunks);
    if (status == SGP_OK) status = begin_message(rank, header, to, destinations, send);
    end_call(rank);
    return status;
}

/* Of the current chunk. */
static void *place_of(sgp_transport_t *transport, sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    begin_call(rank);
    buffer_t *buffer = sgp_hub_take_buffer(rank->hub);
    end_call(rank);
    buffer->src = transport->rank;
    buffer->incarnation = transport->incarnation;
    send->slot = buffer;
    return buffer->payload;
}

static void *loopback_send_next(sgp_transport_t *transport, sgp_send_t *send) {
    return sgp_send_advance(transport, send) ? place_of(transport, send) : NULL;
}

static void *loopback_send_chunk(sgp_transport_t *transport, sgp_send_t *send, uint64_t index) {
    sgp_send_select(transport, send, index);
    return place_of(transport, send);
}

/* Each chunk has its own generator, so that the draw does not depend on the order of sends. */
static void draw_fate(const sgp_loopback_t *hub, delivery_t *delivery, bool *lost) {
    uint64_t edge = (uint64_t)delivery->src << 32 | (uint64_t)delivery->dst;
    sgp_random_t random;
    sgp_random_init(&random, hub->options.seed ^ (delivery->id * 0x9e3779b97f4a7c15u), edge);
    *lost = sgp_random_double(&random) < hub->options.loss;
    uint64_t span = hub->options.delay_max_ns - hub->options.delay_min_ns;
    sgp_random_init(&random, sgp_random_u64(&random), delivery->offset);
    uint64_t delay = hub->options.delay_min_ns + sgp_random_below(&random, span + 1);
    delivery->time =
        sgp_faults_arrival(&hub->faults, delivery->src, delivery->dst, hub->clock, delay);
}

/* Lock held. */
static void dispatch(rank_t *rank, const sgp_send_t *send, const sgp_destination_t *to,
                     uint32_t record) {
    sgp_loopback_t *hub = rank->hub;
    delivery_t *delivery = sgp_hub_take_delivery(hub);
    sgp_header_t header = send->header;
    header.weight = to->weight;
    sgp_header_encode(&header, delivery->header);
    delivery->src = header.src;
    delivery->dst = to->dst;
    delivery->id = header.id;
    delivery->offset = header.offset;
    delivery->buffer = send->slot;
    delivery->record = record;
    delivery->given_up = false;
    bool lost = false;
    draw_fate(hub, delivery, &lost);
    rank_t *receiver = &hub->ranks[to->dst];
    if (lost || receiver->state != RANK_WORKS || !sgp_hub_knows(rank, receiver)) {
        rank->transport.counters.lost++;
        if (lost) sgp_outstanding_released(&rank->transport, record, to->dst);
        sgp_hub_drop_delivery(hub, delivery);
    } else if (hub->options.virtual_time) {
        sgp_arrivals_put(&hub->arrivals, delivery);
    } else {
        sgp_hub_queue_put(receiver, delivery);
        sgp_contexts_arrived(&receiver->contexts);
    }
}

static void dispatch_all(rank_t *rank, const sgp_send_t *send, int destinations) {
    uint32_t record = send->records;
    if (destinations) sgp_outstanding_committed(&rank->transport, send);
    for (int i = 0; i < destinations; i++) {
        uint32_t next = sgp_outstanding_next(&rank->transport, record);
        dispatch(rank, send, &send->to[i], record);
        record = next;
    }
}

static void loopback_send_commit(sgp_transport_t *transport, sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    buffer_t *buffer = send->slot;
    int destinations = begin_call(rank) ? send->destinations : 0;
    sgp_send_committed(send);
    buffer->references = destinations + 1; /* one is ours until all are dispatched */
    dispatch_all(rank, send, destinations);
    sgp_hub_unpromise(rank->hub, 0, (size_t)(send->destinations - destinations));
    sgp_hub_drop_buffer(rank->hub, buffer);
    end_call(rank);
}

static void loopback_send_abandon(sgp_transport_t *transport, sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    size_t untouched = send->left - send->open;
    begin_call(rank);
    sgp_outstanding_abandoned(transport, send);
    sgp_hub_unpromise(rank->hub, untouched, send->left * (size_t)send->destinations);
    rank->in_use -= untouched;
    if (send->open) {
        buffer_t *buffer = send->slot;
        buffer->references = 1;
        sgp_hub_drop_buffer(rank->hub, buffer);
    }
    end_call(rank);
    sgp_send_abandoned(send);
}

static bool loopback_take_back(sgp_transport_t *transport, uint32_t channel,
                               sgp_returned_t *returned) {
    rank_t *rank = rank_of(transport);
    bool found = begin_call(rank) && sgp_outstanding_take_back(transport, channel, returned);
    end_call(rank);
    return found;
}

static sgp_status_t loopback_open(sgp_transport_t *transport, int seat, uint32_t incarnation,
                                  const struct sgp_address *address) {
    rank_t *rank = rank_of(transport);
    (void)address;
    sgp_status_t status = begin_call(rank) ? SGP_OK : SGP_ERR_PEER_LOST;
    if (status == SGP_OK) status = sgp_transport_check_open(transport, seat, incarnation);
    if (status == SGP_OK) {
        sgp_hub_open(rank, seat, incarnation);
        sgp_hearing_opened(rank->hub);
    }
    end_call(rank);
    return status;
}

static uint64_t loopback_silence(sgp_transport_t *transport, int other) {
    sgp_loopback_t *hub = rank_of(transport)->hub;
    sgp_turns_lock(hub);
    uint64_t silence = sgp_hearing_silence(hub, transport->rank, other);
    sgp_turns_unlock(hub);
    return silence;
}

static void loopback_give_up(sgp_transport_t *transport, int other, sgp_fate_t fate,
                             const char *why) {
    rank_t *rank = rank_of(transport);
    if (begin_call(rank)) sgp_hub_give_up(rank, other, fate, why);
    end_call(rank);
}

static sgp_status_t loopback_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    rank_t *rank = rank_of(transport);
    for (;;) {
        delivery_t *delivery = begin_call(rank) ? sgp_hub_queue_take(rank) : NULL;
        if (delivery) sgp_hub_hold(rank, delivery);
        end_call(rank);
        if (!delivery) return SGP_ERR_AGAIN;
        chunk->slot = delivery;
        chunk->payload = delivery->buffer->payload;
        if (sgp_transport_accept(transport, delivery->header, &chunk->header) == SGP_OK)
            return SGP_OK;
        transport->ops->release(transport, chunk);
    }
}

static void loopback_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    rank_t *rank = rank_of(transport);
    begin_call(rank);
    sgp_hub_release(rank->hub, chunk->slot);
    end_call(rank);
    chunk->slot = NULL;
}

static void set_gone(rank_t *rank, rank_state_t state) {
    sgp_turns_lock(rank->hub);
    end_rank(rank, state, false);
    sgp_turns_unlock(rank->hub);
}

static void loopback_leave(sgp_transport_t *transport, uint64_t deadline) {
    (void)deadline; /* the hub keeps the messages under way */
    set_gone(rank_of(transport), RANK_LEFT);
}

static void loopback_destroy(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    set_gone(rank, RANK_LOST);
    sgp_turns_lock(rank->hub);
    rank->destroyed = true;
    pthread_cond_broadcast(&rank->hub->parted);
    sgp_turns_unlock(rank->hub);
}

static const sgp_transport_ops_t loopback_ops = {
    .name = "loopback",
    .now = loopback_now,
    .wait = loopback_wait,
    .has_ended = loopback_has_ended,
    .prepare = loopback_prepare,
    .unprepare = loopback_unprepare,
    .send_begin = loopback_send_begin,
    .send_next = loopback_send_next,
    .send_chunk = loopback_send_chunk,
    .send_commit = loopback_send_commit,
    .send_abandon = loopback_send_abandon,
    .take_back = loopback_take_back,
    .open = loopback_open,
    .silence = loopback_silence,
    .give_up = loopback_give_up,
    .receive = loopback_receive,
    .release = loopback_release,
    .agent_start = loopback_agent_start,
    .agent_join = loopback_agent_join,
    .lock = loopback_lock,
    .unlock = loopback_unlock,
    .pause = loopback_pause,
    .signal = loopback_signal,
    .leave = loopback_leave,
    .destroy = loopback_destroy,
};

/* ---- the hub ---- */

static sgp_status_t check(const sgp_loopback_options_t *options) {
    if (options->size < 1)
        return sgp_fail(SGP_ERR_INVALID, "loopback: size is %d, must be at least 1", options->size);
    if (options->seats && options->seats < options->size)
        return sgp_fail(SGP_ERR_INVALID, "loopback: %d seats for %d ranks", options->seats,
                        options->size);
    if (options->chunk_bytes % 64)
        return sgp_fail(SGP_ERR_INVALID, "loopback: chunk_bytes is %zu, must be a multiple of 64",
                        options->chunk_bytes);
    if (options->delay_max_ns < options->delay_min_ns)
        return sgp_fail(SGP_ERR_INVALID, "loopback: delay_max_ns is below delay_min_ns");
    return SGP_OK;
}

/* A new member of the seat. */
static void begin_rank(rank_t *rank, int number, uint32_t incarnation, sgp_fates_t *fates) {
    const sgp_loopback_t *hub = rank->hub;
    rank->transport = (sgp_transport_t){
        .ops = &loopback_ops,
        .rank = number,
        .size = hub->options.size,
        .capacity = hub->options.seats,
        .incarnation = incarnation,
        .run = 1,
        .chunk_bytes = hub->options.chunk_bytes,
        .fates = fates,
        .virtual_time = hub->options.virtual_time,
    };
    rank->state = RANK_WORKS;
    rank->killed = rank->destroyed = false;
    rank->calls = 0;
    rank->in_use = 0;
    sgp_turns_begin(rank);
}

static void rank_init(rank_t *rank, sgp_loopback_t *hub, int number) {
    rank->hub = hub;
    rank->last = &rank->first;
    rank->early_last = &rank->early;
    begin_rank(rank, number, 0, rank->transport.fates);
    if (number >= hub->options.size) rank->state = RANK_ABSENT;
    sgp_turns_init(rank);
    pthread_mutex_init(&rank->shared, NULL);
}

static void free_hub(sgp_loopback_t *hub) {
    sgp_faults_fini(&hub->faults);
    sgp_hearing_fini(&hub->hearing);
    for (int r = 0; hub->ranks && r < hub->options.seats; r++)
        sgp_fates_destroy(hub->ranks[r].transport.fates);
    free(hub->ranks);
    free(hub);
}

static bool make_fates(sgp_loopback_t *hub) {
    const sgp_loopback_options_t *options = &hub->options;
    for (int r = 0; r < options->seats; r++)
        if (sgp_fates_create(options->seats, options->size, &hub->ranks[r].transport.fates) !=
            SGP_OK)
            return false;
    return true;
}

sgp_status_t sgp_loopback_create(const sgp_loopback_options_t *options, sgp_loopback_t **hub) {
    sgp_status_t status = check(options);
    if (status != SGP_OK) return status;
    sgp_loopback_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "loopback: no memory for a hub");
    made->options = *options;
    if (!made->options.chunk_bytes) made->options.chunk_bytes = SGP_CHUNK_BYTES;
    if (!made->options.suspect_ns) made->options.suspect_ns = SGP_SUSPECT_MS * SGP_MILLISECOND;
    if (!made->options.seats) made->options.seats = options->size;
    made->ranks = calloc((size_t)made->options.seats, sizeof *made->ranks);
    if (!made->ranks || !make_fates(made))
        status = sgp_fail(SGP_ERR_NO_MEMORY, "loopback: no memory for %d ranks", options->size);
    if (status == SGP_OK) status = sgp_faults_init(&made->faults, options);
    if (status == SGP_OK) status = sgp_hearing_init(&made->hearing, &made->options);
    if (status != SGP_OK) {
        free_hub(made);
        return status;
    }
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->parted, NULL);
    for (int r = 0; r < made->options.seats; r++) rank_init(&made->ranks[r], made, r);
    *hub = made;
    return SGP_OK;
}

sgp_transport_t *sgp_loopback_transport(sgp_loopback_t *hub, int rank) {
    return &hub->ranks[rank].transport;
}

/* ---- newcomers; lock held ---- */

/* Of a newcomer: all ranks as they are. Earlier newcomers that are gone again are absent: it opens their seats as it hears of
 * them, and finds that out by then. */
static void seat_all(const sgp_loopback_t *hub, sgp_fates_t *fates, int own, uint32_t incarnation) {
    for (int r = 0; r < hub->options.seats; r++) {
        const rank_t *rank = &hub->ranks[r];
        bool present = r == own || rank->state == RANK_WORKS;
        bool founder = r < hub->options.size && rank->transport.incarnation == 0;
        sgp_fate_state_t gone = founder ? SGP_FATE_LEFT : SGP_FATE_ABSENT;
        sgp_fates_seat(fates, r, r == own ? incarnation : rank->transport.incarnation,
                       present ? SGP_FATE_PRESENT : gone);
    }
}

static sgp_status_t join(sgp_loopback_t *hub, int seat) {
    rank_t *rank = &hub->ranks[seat];
    bool used = rank->state != RANK_ABSENT;
    sgp_fates_t *fates;
    if (rank->state == RANK_WORKS)
        return sgp_fail(SGP_ERR_INVALID, "loopback: seat %d has a member", seat);
    while (used && !rank->destroyed) pthread_cond_wait(&hub->parted, &hub->lock);
    if (sgp_fates_create(hub->options.seats, 0, &fates) != SGP_OK)
        return sgp_fail(SGP_ERR_NO_MEMORY, "loopback: no memory for a newcomer");
    uint32_t incarnation = used ? rank->transport.incarnation + 1 : 0;
    seat_all(hub, fates, seat, incarnation);
    sgp_hub_clear(rank);
    sgp_hearing_seat(hub, seat);
    sgp_outstanding_fini(&rank->transport);
    sgp_fates_destroy(rank->transport.fates);
    begin_rank(rank, seat, incarnation, fates);
    rank->transport.elastic = true;
    return SGP_OK;
}

sgp_status_t sgp_loopback_join(sgp_loopback_t *hub, int seat, sgp_transport_t **transport) {
    if (seat < 0 || seat >= hub->options.seats)
        return sgp_fail(SGP_ERR_INVALID, "loopback: seat %d of %d", seat, hub->options.seats);
    sgp_turns_lock(hub);
    sgp_status_t status = join(hub, seat);
    sgp_turns_unlock(hub);
    if (status == SGP_OK) *transport = &hub->ranks[seat].transport;
    return status;
}

void sgp_loopback_destroy(sgp_loopback_t *hub) {
    if (!hub) return;
    sgp_hub_free_messages(hub);
    for (int r = 0; r < hub->options.seats; r++) {
        sgp_turns_fini(&hub->ranks[r]);
        pthread_mutex_destroy(&hub->ranks[r].shared);
        sgp_outstanding_fini(&hub->ranks[r].transport);
    }
    pthread_cond_destroy(&hub->parted);
    pthread_mutex_destroy(&hub->lock);
    free_hub(hub);
}
