/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/loopback/loopback.h"

#include "base/constants.h"
#include "base/clock.h"
#include "base/logging.h"
#include "base/memory.h"
#include "base/random.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One chunk's payload, shared by its destinations. */
typedef struct buffer {
    struct buffer *next;      /* in the hub's free list */
    struct buffer *next_made; /* in the list of all */
    int references;
    int src;
    void *payload; /* (chunk_bytes) */
} buffer_t;

/* One chunk on its way to one rank. */
typedef struct delivery {
    uint64_t time; /* of arrival, virtual */
    int src, dst;
    uint64_t id, offset;
    unsigned char header[SGP_HEADER_BYTES];
    buffer_t *buffer;
    struct delivery *next; /* in the receiver's queue, or the free list */
} delivery_t;

typedef enum rank_state { RANK_WORKS, RANK_LEFT, RANK_LOST } rank_state_t;

/* What one of a rank's two contexts does. */
typedef enum context_state {
    CONTEXT_WORKS,
    CONTEXT_WAITS,  /* in wait */
    CONTEXT_PAUSES, /* in pause, or in agent_join: arrivals do not wake it */
    CONTEXT_ENDED   /* or was never started */
} context_state_t;

typedef struct context {
    context_state_t state;
    uint64_t deadline; /* while it sleeps */
    bool poked;        /* something other than an arrival changed: room, a loss, a signal */
    pthread_cond_t changed;
} context_t;

enum { FIRST, AGENT, CONTEXTS };

typedef struct rank {
    sgp_transport_t transport; /* first: a transport is a rank */
    sgp_loopback_t *hub;
    rank_state_t state;
    context_t contexts[CONTEXTS];
    delivery_t *first, **last; /* arrived, oldest first */
    size_t in_use;             /* chunks sent and not yet released */
    pthread_mutex_t shared;    /* of what the two contexts share */
    pthread_t agent;           /* while contexts[AGENT] has not ended */
    void (*body)(void *context);
    void *body_context;
} rank_t;

struct sgp_loopback {
    sgp_loopback_options_t options;
    pthread_mutex_t lock; /* of everything below and of the ranks' fields */
    uint64_t clock;       /* virtual nanoseconds */
    delivery_t **heap;    /* (heap_count) under way, earliest first */
    size_t heap_count, heap_room;
    buffer_t *free_buffers;
    buffer_t *made_buffers; /* all: a message can be abandoned with a buffer taken */
    delivery_t *free_deliveries;
    /* What send_begin has promised and send_next and commit have not taken yet, and what lies ready
     * for that. */
    size_t promised_buffers, promised_deliveries, ready_buffers, ready_deliveries;
    sgp_fates_t *fates; /* the same for all ranks */
    rank_t *ranks;      /* (size) */
};

static rank_t *rank_of(sgp_transport_t *transport) {
    return (rank_t *)transport;
}

/* ---- the chunks under way, a binary heap ---- */

/* Ties are broken by who sent what, never by which thread came first. */
static bool earlier(const delivery_t *a, const delivery_t *b) {
    if (a->time != b->time) return a->time < b->time;
    if (a->src != b->src) return a->src < b->src;
    if (a->id != b->id) return a->id < b->id;
    if (a->offset != b->offset) return a->offset < b->offset;
    return a->dst < b->dst;
}

/* There is room: send_begin made it. */
static void heap_push(sgp_loopback_t *hub, delivery_t *delivery) {
    size_t at = hub->heap_count++;
    while (at > 0 && earlier(delivery, hub->heap[(at - 1) / 2])) {
        hub->heap[at] = hub->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    hub->heap[at] = delivery;
}

static delivery_t *heap_pop(sgp_loopback_t *hub) {
    delivery_t *top = hub->heap[0], *last = hub->heap[--hub->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= hub->heap_count) break;
        if (child + 1 < hub->heap_count && earlier(hub->heap[child + 1], hub->heap[child])) child++;
        if (!earlier(hub->heap[child], last)) break;
        hub->heap[at] = hub->heap[child];
        at = child;
    }
    if (hub->heap_count) hub->heap[at] = last;
    return top;
}

/* ---- time ---- */

static void queue_put(rank_t *rank, delivery_t *delivery) {
    delivery->next = NULL;
    *rank->last = delivery;
    rank->last = &delivery->next;
}

static void wake(context_t *context) {
    context->state = CONTEXT_WORKS;
    pthread_cond_signal(&context->changed);
}

static bool sleeps(const context_t *context) {
    return context->state == CONTEXT_WAITS || context->state == CONTEXT_PAUSES;
}

/* What happens next to sleeping contexts: whether one was poked, and the earliest deadline. False:
 * somebody works, or nobody sleeps. */
static bool find_next(const sgp_loopback_t *hub, bool *poked, uint64_t *next) {
    bool sleeping = false;
    for (int r = 0; r < hub->options.size; r++) {
        const rank_t *rank = &hub->ranks[r];
        if (rank->state != RANK_WORKS) continue;
        for (int c = 0; c < CONTEXTS; c++) {
            const context_t *context = &rank->contexts[c];
            if (context->state == CONTEXT_WORKS) return false;
            if (!sleeps(context)) continue;
            sleeping = true;
            *poked |= context->poked;
            if (context->deadline < *next) *next = context->deadline;
        }
    }
    return sleeping;
}

/* One context of a rank at a time, the agent first, so that what they do to each other does not
 * depend on the threads' real order: the other one is due again when this one sleeps. */
static bool wake_due(rank_t *rank) {
    for (int c = CONTEXTS - 1; c >= 0; c--) {
        context_t *context = &rank->contexts[c];
        bool arrived = context->state == CONTEXT_WAITS && rank->first;
        if (!sleeps(context) ||
            !(arrived || context->poked || context->deadline <= rank->hub->clock))
            continue;
        wake(context);
        return true;
    }
    return false;
}

/* The clock moves to the next thing that happens; messages are delivered here only, so what a rank
 * finds does not depend on the threads' real order. */
static void move_clock(sgp_loopback_t *hub, uint64_t next) {
    if (hub->heap_count && hub->heap[0]->time < next) next = hub->heap[0]->time;
    if (next > hub->clock) hub->clock = next;
    while (hub->heap_count && hub->heap[0]->time <= hub->clock) {
        delivery_t *delivery = heap_pop(hub);
        queue_put(&hub->ranks[delivery->dst], delivery);
    }
}

/* Virtual time, lock held: if every context sleeps, moves on until one is awake. What arrives at a
 * rank that pauses wakes nobody. */
static void advance(sgp_loopback_t *hub) {
    for (bool woken = false; !woken;) {
        uint64_t next = UINT64_MAX;
        bool poked = false;
        if (!find_next(hub, &poked, &next)) return;
        if (!poked) move_clock(hub, next);
        for (int r = 0; r < hub->options.size; r++)
            if (hub->ranks[r].state == RANK_WORKS) woken |= wake_due(&hub->ranks[r]);
    }
}

static void sleep_virtual(rank_t *rank, context_t *context, context_state_t how,
                          uint64_t deadline) {
    sgp_loopback_t *hub = rank->hub;
    context->deadline = deadline;
    context->state = how;
    advance(hub);
    while (sleeps(context)) pthread_cond_wait(&context->changed, &hub->lock);
}

static void sleep_real(rank_t *rank, context_t *context, context_state_t how, uint64_t deadline) {
    struct timespec until = {.tv_sec = (time_t)(deadline / SGP_SECOND),
                             .tv_nsec = (long)(deadline % SGP_SECOND)};
    context->state = how; /* an arrival rings where it concerns somebody */
    while (!(how == CONTEXT_WAITS && rank->first) && !context->poked && sgp_clock_now() < deadline)
        pthread_cond_timedwait(&context->changed, &rank->hub->lock, &until);
    context->state = CONTEXT_WORKS;
}

/* Lock held. */
static void sleep_until(rank_t *rank, context_t *context, context_state_t how, uint64_t deadline) {
    if (rank->hub->options.virtual_time) sleep_virtual(rank, context, how, deadline);
    else sleep_real(rank, context, how, deadline);
}

static void poke(context_t *context) {
    context->poked = true;
    pthread_cond_signal(&context->changed);
}

/* Both contexts of a rank: whoever sends or waits at the time. */
static void poke_rank(rank_t *rank) {
    for (int c = 0; c < CONTEXTS; c++) poke(&rank->contexts[c]);
}

/* Lock held: the context that calls. */
static context_t *self(rank_t *rank) {
    bool agent =
        rank->contexts[AGENT].state != CONTEXT_ENDED && pthread_equal(pthread_self(), rank->agent);
    return &rank->contexts[agent ? AGENT : FIRST];
}

/* ---- the operations ---- */

static uint64_t loopback_now(sgp_transport_t *transport) {
    sgp_loopback_t *hub = rank_of(transport)->hub;
    if (!hub->options.virtual_time) return sgp_clock_now();
    pthread_mutex_lock(&hub->lock);
    uint64_t now = hub->clock;
    pthread_mutex_unlock(&hub->lock);
    return now;
}

static sgp_status_t loopback_wait(sgp_transport_t *transport, uint64_t deadline) {
    rank_t *rank = rank_of(transport);
    sgp_loopback_t *hub = rank->hub;
    pthread_mutex_lock(&hub->lock);
    context_t *context = self(rank);
    if (!rank->first && sgp_transport_lost_peer(transport) < 0)
        sleep_until(rank, context, CONTEXT_WAITS, deadline);
    sgp_status_t status = rank->first || context->poked ? SGP_OK : SGP_ERR_TIMEOUT;
    if (!rank->first && sgp_transport_lost_peer(transport) >= 0) status = SGP_ERR_PEER_LOST;
    context->poked = false;
    pthread_mutex_unlock(&hub->lock);
    return status;
}

/* ---- the agent ---- */

static void *agent_main(void *argument) {
    rank_t *rank = argument;
    sgp_loopback_t *hub = rank->hub;
    pthread_mutex_lock(&hub->lock); /* until rank->agent is set */
    pthread_mutex_unlock(&hub->lock);
    sgp_log_set_rank(rank->transport.rank);
    rank->body(rank->body_context);
    pthread_mutex_lock(&hub->lock);
    rank->contexts[AGENT].state = CONTEXT_ENDED;
    poke(&rank->contexts[FIRST]);
    if (hub->options.virtual_time) advance(hub);
    pthread_mutex_unlock(&hub->lock);
    return NULL;
}

static sgp_status_t loopback_agent_start(sgp_transport_t *transport, void (*body)(void *context),
                                         void *context) {
    rank_t *rank = rank_of(transport);
    rank->body = body;
    rank->body_context = context;
    pthread_mutex_lock(&rank->hub->lock);
    int error = pthread_create(&rank->agent, NULL, agent_main, rank);
    if (!error) rank->contexts[AGENT].state = CONTEXT_WORKS;
    pthread_mutex_unlock(&rank->hub->lock);
    if (!error) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "a thread for messages cannot be started: %s",
                    strerror(error));
}

static void loopback_agent_join(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    pthread_mutex_lock(&rank->hub->lock);
    while (rank->contexts[AGENT].state != CONTEXT_ENDED) {
        sleep_until(rank, &rank->contexts[FIRST], CONTEXT_PAUSES, UINT64_MAX);
        rank->contexts[FIRST].poked = false;
    }
    pthread_mutex_unlock(&rank->hub->lock);
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
    pthread_mutex_lock(&rank->hub->lock);
    context_t *context = self(rank);
    if (!context->poked) sleep_until(rank, context, CONTEXT_PAUSES, deadline);
    context->poked = false;
    pthread_mutex_unlock(&rank->hub->lock);
    pthread_mutex_lock(&rank->shared);
}

static void loopback_signal(sgp_transport_t *transport) {
    rank_t *rank = rank_of(transport);
    pthread_mutex_lock(&rank->hub->lock);
    poke(&rank->contexts[self(rank) == &rank->contexts[FIRST] ? AGENT : FIRST]);
    pthread_mutex_unlock(&rank->hub->lock);
}

/* ---- memory and sending ---- */

static sgp_status_t loopback_prepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    /* Memory is taken as it is needed. */
    uint64_t wanted = transport->promised + sgp_chunks_of_room(transport, bytes, messages);
    sgp_status_t status = sgp_transport_check_room(transport, wanted);
    if (status == SGP_OK) transport->promised = wanted;
    return status;
}

static void loopback_unprepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    transport->promised -= sgp_chunks_of_room(transport, bytes, messages);
}

/* ---- memory, taken when a message begins, so that nothing after can fail; lock held ---- */

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

static bool make_heap_room(sgp_loopback_t *hub, size_t room) {
    if (room <= hub->heap_room) return true;
    delivery_t **heap = realloc(hub->heap, 2 * room * sizeof *heap);
    if (!heap) return false;
    hub->heap = heap;
    hub->heap_room = 2 * room;
    return true;
}

static bool promise(sgp_loopback_t *hub, size_t buffers, size_t deliveries) {
    while (hub->ready_buffers < hub->promised_buffers + buffers)
        if (!make_buffer(hub)) return false;
    while (hub->ready_deliveries < hub->promised_deliveries + deliveries) {
        delivery_t *delivery = malloc(sizeof *delivery);
        if (!delivery) return false;
        put_delivery(hub, delivery);
    }
    if (!make_heap_room(hub, hub->heap_count + hub->promised_deliveries + deliveries)) return false;
    hub->promised_buffers += buffers;
    hub->promised_deliveries += deliveries;
    return true;
}

static buffer_t *take_buffer(sgp_loopback_t *hub) {
    buffer_t *buffer = hub->free_buffers;
    hub->free_buffers = buffer->next;
    hub->ready_buffers--;
    hub->promised_buffers--;
    return buffer;
}

static delivery_t *take_delivery(sgp_loopback_t *hub) {
    delivery_t *delivery = hub->free_deliveries;
    hub->free_deliveries = delivery->next;
    hub->ready_deliveries--;
    hub->promised_deliveries--;
    return delivery;
}

static void drop_buffer(sgp_loopback_t *hub, buffer_t *buffer) {
    if (--buffer->references > 0) return;
    rank_t *sender = &hub->ranks[buffer->src];
    sender->in_use--;
    if (hub->options.capacity) poke_rank(sender);
    put_buffer(hub, buffer);
}

static sgp_status_t loopback_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                        const sgp_destination_t *to, int destinations,
                                        sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    sgp_loopback_t *hub = rank->hub;
    size_t chunks = sgp_chunks_of(transport, header->encoding, header->count);
    sgp_status_t status = SGP_OK;
    pthread_mutex_lock(&hub->lock);
    if (sgp_transport_any_lost(transport, to, destinations)) status = SGP_ERR_PEER_LOST;
    if (status == SGP_OK && hub->options.capacity && rank->in_use &&
        rank->in_use + chunks > hub->options.capacity)
        status = SGP_ERR_AGAIN;
    if (status == SGP_OK && !promise(hub, chunks, chunks * (size_t)destinations))
        status = sgp_fail(SGP_ERR_NO_MEMORY, "loopback: no memory for %zu chunks", chunks);
    if (status == SGP_OK) rank->in_use += chunks;
    pthread_mutex_unlock(&hub->lock);
    if (status == SGP_OK) sgp_send_init(transport, header, to, destinations, send);
    return status;
}

static void *loopback_send_next(sgp_transport_t *transport, sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    if (!sgp_send_advance(transport, send)) return NULL;
    pthread_mutex_lock(&rank->hub->lock);
    buffer_t *buffer = take_buffer(rank->hub);
    pthread_mutex_unlock(&rank->hub->lock);
    buffer->src = transport->rank;
    send->slot = buffer;
    return buffer->payload;
}

/* Draws from the chunk's own generator, so that the draw does not depend on the order of sends. */
static void draw_fate(const sgp_loopback_t *hub, delivery_t *delivery, bool *lost) {
    uint64_t edge = (uint64_t)delivery->src << 32 | (uint64_t)delivery->dst;
    sgp_random_t random;
    sgp_random_init(&random, hub->options.seed ^ (delivery->id * 0x9e3779b97f4a7c15u), edge);
    *lost = sgp_random_double(&random) < hub->options.loss;
    uint64_t span = hub->options.delay_max_ns - hub->options.delay_min_ns;
    sgp_random_init(&random, sgp_random_u64(&random), delivery->offset);
    delivery->time = hub->clock + hub->options.delay_min_ns + sgp_random_below(&random, span + 1);
}

static void drop_delivery(sgp_loopback_t *hub, delivery_t *delivery) {
    drop_buffer(hub, delivery->buffer);
    put_delivery(hub, delivery);
}

/* Lock held. */
static void dispatch(rank_t *rank, const sgp_send_t *send, const sgp_destination_t *to) {
    sgp_loopback_t *hub = rank->hub;
    delivery_t *delivery = take_delivery(hub);
    sgp_header_t header = send->header;
    header.weight = to->weight;
    sgp_header_encode(&header, delivery->header);
    delivery->src = header.src;
    delivery->dst = to->dst;
    delivery->id = header.id;
    delivery->offset = header.offset;
    delivery->buffer = send->slot;
    bool lost = false;
    draw_fate(hub, delivery, &lost);
    rank_t *receiver = &hub->ranks[to->dst];
    if (lost || receiver->state == RANK_LEFT || receiver->state == RANK_LOST) {
        rank->transport.counters.lost++;
        drop_delivery(hub, delivery);
    } else if (hub->options.virtual_time) {
        heap_push(hub, delivery);
    } else {
        queue_put(receiver, delivery);
        for (int c = 0; c < CONTEXTS; c++) pthread_cond_signal(&receiver->contexts[c].changed);
    }
}

static void loopback_send_commit(sgp_transport_t *transport, sgp_send_t *send) {
    rank_t *rank = rank_of(transport);
    buffer_t *buffer = send->slot;
    pthread_mutex_lock(&rank->hub->lock);
    buffer->references = send->destinations + 1; /* one is ours while we dispatch */
    for (int i = 0; i < send->destinations; i++) dispatch(rank, send, &send->to[i]);
    drop_buffer(rank->hub, buffer);
    pthread_mutex_unlock(&rank->hub->lock);
}

static sgp_status_t loopback_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    rank_t *rank = rank_of(transport);
    for (;;) {
        pthread_mutex_lock(&rank->hub->lock);
        delivery_t *delivery = rank->first;
        if (delivery) {
            rank->first = delivery->next;
            if (!rank->first) rank->last = &rank->first;
        }
        pthread_mutex_unlock(&rank->hub->lock);
        if (!delivery) return SGP_ERR_AGAIN;
        chunk->slot = delivery;
        chunk->payload = delivery->buffer->payload;
        if (sgp_transport_accept(transport, delivery->header, &chunk->header) == SGP_OK)
            return SGP_OK;
        transport->ops->release(transport, chunk);
    }
}

static void loopback_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    sgp_loopback_t *hub = rank_of(transport)->hub;
    pthread_mutex_lock(&hub->lock);
    drop_delivery(hub, chunk->slot);
    pthread_mutex_unlock(&hub->lock);
    chunk->slot = NULL;
}

/* A rank that ends without leaving after another was lost ends for that: every rank knows of it. */
static void note_gone(rank_t *rank, rank_state_t state) {
    int first = sgp_transport_lost_peer(&rank->transport);
    sgp_fate_t fate = state == RANK_LEFT ? sgp_fate_left()
                      : first < 0        ? sgp_fate_lost(SGP_CAUSE_ENDED)
                                         : sgp_fate_followed(first);
    sgp_transport_note(&rank->transport, rank->transport.rank, fate,
                       fate.cause == SGP_CAUSE_ENDED ? "it ended without leaving" : NULL);
}

static void set_gone(rank_t *rank, rank_state_t state) {
    sgp_loopback_t *hub = rank->hub;
    pthread_mutex_lock(&hub->lock);
    if (rank->state == RANK_WORKS) {
        rank->state = state;
        note_gone(rank, state);
        for (int r = 0; state == RANK_LOST && r < hub->options.size; r++) poke_rank(&hub->ranks[r]);
        if (hub->options.virtual_time) advance(hub);
    }
    pthread_mutex_unlock(&hub->lock);
}

static void loopback_leave(sgp_transport_t *transport, uint64_t deadline) {
    (void)deadline; /* the hub keeps what is under way */
    set_gone(rank_of(transport), RANK_LEFT);
}

static void loopback_destroy(sgp_transport_t *transport) {
    set_gone(rank_of(transport), RANK_LOST);
}

static const sgp_transport_ops_t loopback_ops = {
    .name = "loopback",
    .now = loopback_now,
    .wait = loopback_wait,
    .prepare = loopback_prepare,
    .unprepare = loopback_unprepare,
    .send_begin = loopback_send_begin,
    .send_next = loopback_send_next,
    .send_commit = loopback_send_commit,
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
    if (options->chunk_bytes % 64)
        return sgp_fail(SGP_ERR_INVALID, "loopback: chunk_bytes is %zu, must be a multiple of 64",
                        options->chunk_bytes);
    if (options->delay_max_ns < options->delay_min_ns)
        return sgp_fail(SGP_ERR_INVALID, "loopback: delay_max_ns is below delay_min_ns");
    return SGP_OK;
}

static void rank_init(rank_t *rank, sgp_loopback_t *hub, int number) {
    rank->transport = (sgp_transport_t){
        .ops = &loopback_ops,
        .rank = number,
        .size = hub->options.size,
        .run = 1,
        .chunk_bytes = hub->options.chunk_bytes,
        .fates = hub->fates,
    };
    rank->hub = hub;
    rank->last = &rank->first;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    for (int c = 0; c < CONTEXTS; c++) pthread_cond_init(&rank->contexts[c].changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&rank->shared, NULL);
    rank->contexts[AGENT].state = CONTEXT_ENDED;
}

sgp_status_t sgp_loopback_create(const sgp_loopback_options_t *options, sgp_loopback_t **hub) {
    sgp_status_t status = check(options);
    if (status != SGP_OK) return status;
    sgp_loopback_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "loopback: no memory for it");
    made->options = *options;
    if (!made->options.chunk_bytes) made->options.chunk_bytes = SGP_CHUNK_BYTES;
    made->ranks = calloc((size_t)options->size, sizeof *made->ranks);
    if (!made->ranks || sgp_fates_create(options->size, &made->fates) != SGP_OK) {
        free(made->ranks);
        free(made);
        return sgp_fail(SGP_ERR_NO_MEMORY, "loopback: no memory for %d ranks", options->size);
    }
    pthread_mutex_init(&made->lock, NULL);
    for (int r = 0; r < options->size; r++) rank_init(&made->ranks[r], made, r);
    *hub = made;
    return SGP_OK;
}

sgp_transport_t *sgp_loopback_transport(sgp_loopback_t *hub, int rank) {
    return &hub->ranks[rank].transport;
}

void sgp_loopback_destroy(sgp_loopback_t *hub) {
    if (!hub) return;
    while (hub->heap_count) drop_delivery(hub, heap_pop(hub));
    for (int r = 0; r < hub->options.size; r++) {
        while (hub->ranks[r].first) {
            delivery_t *delivery = hub->ranks[r].first;
            hub->ranks[r].first = delivery->next;
            drop_delivery(hub, delivery);
        }
        for (int c = 0; c < CONTEXTS; c++) pthread_cond_destroy(&hub->ranks[r].contexts[c].changed);
        pthread_mutex_destroy(&hub->ranks[r].shared);
    }
    for (delivery_t *next, *at = hub->free_deliveries; at; at = next) next = at->next, free(at);
    for (buffer_t *next, *at = hub->made_buffers; at; at = next) {
        next = at->next_made;
        sgp_memory_free(at->payload);
        free(at);
    }
    pthread_mutex_destroy(&hub->lock);
    sgp_fates_destroy(hub->fates);
    free(hub->heap);
    free(hub->ranks);
    free(hub);
}
