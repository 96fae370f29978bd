/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/shm.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"
#include "base/stream.h"
#include "transport/agent.h"
#include "transport/shm/heartbeat.h"
#include "transport/slots/region.h"
#include "transport/shm/rendezvous.h"
#include "transport/slots/stores.h"

#include <stdlib.h>
#include <string.h>

/* Chunks that a sender may be ahead of receivers at work; where it goes on; how long it waits for
 * them at most, and then not again in the same message. Measured: docs/results.md. */
#define FARTHEST    4
#define NEAREST     2
#define PATIENCE_NS (20 * SGP_MILLISECOND)
#define LONGEST_NS  ((uint64_t)3600 * 1000 * SGP_MILLISECOND) /* that one sleep may take */

typedef struct shm {
    sgp_transport_t transport; /* first: a transport is a shm */
    sgp_transport_ops_t ops;   /* with the name that the user knows it by */
    sgp_remote_t *remote;      /* NULL: all ranks are local */
    sgp_region_t own;
    sgp_shm_peer_t *peers; /* (size); our own entry unused */
    sgp_pulse_t pulse;     /* where some are local */
    sgp_agent_t agent;
    atomic_bool poked;    /* the agent is to return from wait */
    int next_peer;        /* where receive looks first */
    uint32_t *free_slots; /* (all slots) a stack: the slot used last is still in the cache */
    uint32_t free_count;
    uint32_t created;    /* slots ever used: the next new one */
    uint32_t reserved;   /* promised to messages begun, not taken yet */
    uint32_t taken_back; /* slots ever taken from `returned` */
    sgp_stores_t stores;
} shm_t;

static shm_t *shm_of(sgp_transport_t *transport) {
    return (shm_t *)transport;
}

static uint64_t shm_now(sgp_transport_t *transport) {
    (void)transport;
    return sgp_clock_now();
}

/* ---- losses ---- */

/* A loss is told before this rank can end for it, so that its own end is not taken for a cause. In the pulse's
 * context or the remote's. */
static void record(sgp_transport_t *transport, int rank, sgp_fate_t fate, const char *why) {
    shm_t *shm = shm_of(transport);
    uint32_t none = 0;
    if (fate.state == SGP_FATE_LOST && fate.cause != SGP_CAUSE_FOLLOWED)
        atomic_compare_exchange_strong(&shm->own.control->lost, &none,
                                       sgp_loss_pack(rank, fate.cause));
    if (sgp_transport_note(transport, rank, fate, why)) sgp_region_ring_doorbell(&shm->own);
}

/* Of a local rank. The remote tells a loss to those that it reaches, and then has it recorded. */
static void noticed(void *owner, int rank, sgp_fate_t fate, const char *why) {
    shm_t *shm = owner;
    if (shm->remote && fate.state == SGP_FATE_LOST)
        shm->remote->ops->note(shm->remote, rank, fate, why);
    else record(&shm->transport, rank, fate, why);
}

/* ---- slots ---- */

static void take_returned(shm_t *shm) {
    uint32_t slot =
        atomic_exchange_explicit(&shm->own.control->returned, SGP_NO_SLOT, memory_order_acquire);
    while (slot != SGP_NO_SLOT) {
        uint32_t next = sgp_region_slot(&shm->own, slot)->next;
        shm->free_slots[shm->free_count++] = slot;
        shm->taken_back++;
        slot = next;
    }
}

/* Slots that no message has a claim on, of those that are promised. */
static uint64_t room(const shm_t *shm) {
    uint64_t claimed = (uint64_t)shm->created - shm->free_count + shm->reserved;
    return claimed < shm->transport.promised ? shm->transport.promised - claimed : 0;
}

/* From now on a slot given back wakes us, once there are `slots` more. */
static void want_room(shm_t *shm, uint32_t slots) {
    sgp_region_control_t *control = shm->own.control;
    atomic_store(&control->wake_at, shm->taken_back + slots);
    atomic_store(&control->wants_room, 1);
}

/* The one given back last, for it is still in the cache: taking from the free ones first would go round all slots that were
 * ever needed at a time. */
static uint32_t take_slot(shm_t *shm) {
    shm->reserved--;
    if (atomic_load_explicit(&shm->own.control->returned, memory_order_relaxed) != SGP_NO_SLOT)
        take_returned(shm);
    if (!shm->free_count) return shm->created++;
    uint32_t slot = shm->free_slots[--shm->free_count];
    /* Ordered already, through `returned`; but a slot may have come back by another process's mapping,
     * where no thread sanitizer sees that the remote was done with it before. */
    (void)atomic_load_explicit(&sgp_region_slot(&shm->own, slot)->references, memory_order_acquire);
    return slot;
}

/* So many, as parts of the region, and a place for each in the stack of free ones. */
static sgp_status_t make_slots(shm_t *shm, uint64_t wanted) {
    uint64_t all = sgp_region_slots_before(shm->own.count);
    uint32_t most = sgp_region_slots_before(SGP_REGION_PARTS);
    if (wanted > most)
        return sgp_fail(SGP_ERR_NO_MEMORY, "shm: %llu chunks under way, at most %u are possible",
                        (unsigned long long)wanted, most);
    while (all < wanted) all *= 2;
    uint32_t *grown = realloc(shm->free_slots, all * sizeof *grown);
    if (!grown)
        return sgp_fail(SGP_ERR_NO_MEMORY, "shm: no memory to keep count of %llu chunks",
                        (unsigned long long)all);
    shm->free_slots = grown;
    sgp_status_t status = SGP_OK;
    while (status == SGP_OK && sgp_region_slots_before(shm->own.count) < all)
        status = sgp_region_grow(&shm->own);
    return status;
}

static sgp_status_t shm_prepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    shm_t *shm = shm_of(transport);
    uint64_t wanted = transport->promised + sgp_chunks_of_room(transport, bytes, messages);
    sgp_status_t status = sgp_transport_check_room(transport, wanted);
    if (status == SGP_OK) status = make_slots(shm, wanted);
    if (status != SGP_OK) return status;
    transport->promised = wanted;
    if (shm->remote) shm->remote->ops->allow(shm->remote, wanted);
    return SGP_OK;
}

/* The slots stay, for the next promise. */
static void shm_unprepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    transport->promised -= sgp_chunks_of_room(transport, bytes, messages);
}

/* What sgp_send_t and sgp_chunk_t know a slot by: not NULL. */
static void *handle_of(uint32_t slot) {
    return (void *)((uintptr_t)slot + 1);
}

static uint32_t slot_of(const void *handle) {
    return (uint32_t)((uintptr_t)handle - 1);
}

/* ---- sending ---- */

static bool is_local(const shm_t *shm, int rank) {
    return shm->peers[rank].region.control != NULL;
}

/* The remote's memory for a message of so many chunks. */
static sgp_status_t reserve_remote(shm_t *shm, size_t chunks, const sgp_destination_t *to,
                                   int destinations) {
    size_t posts = 0;
    for (int i = 0; i < destinations; i++)
        if (!is_local(shm, to[i].dst)) posts += chunks;
    if (!posts || !shm->remote || shm->remote->ops->reserve(shm->remote, posts)) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for a message of %zu chunks",
                    shm->transport.ops->name, chunks);
}

static sgp_status_t shm_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                   const sgp_destination_t *to, int destinations,
                                   sgp_send_t *send) {
    shm_t *shm = shm_of(transport);
    size_t chunks = sgp_chunks_of(transport, header->encoding, header->count);
    if (chunks > transport->promised)
        return sgp_fail(SGP_ERR_INVALID, "shm: a message of %zu chunks, prepared for %llu", chunks,
                        (unsigned long long)transport->promised);
    if (sgp_transport_any_lost(transport, to, destinations)) return SGP_ERR_PEER_LOST;
    if (room(shm) < chunks) take_returned(shm);
    if (room(shm) < chunks) {
        want_room(shm, (uint32_t)(chunks - room(shm)));
        take_returned(shm); /* what was given back before we said that we want it */
        if (room(shm) < chunks) return SGP_ERR_AGAIN;
        atomic_store(&shm->own.control->wants_room, 0);
    }
    sgp_status_t status = reserve_remote(shm, chunks, to, destinations);
    if (status != SGP_OK) return status;
    shm->reserved += (uint32_t)chunks;
    sgp_send_init(transport, header, to, destinations, send);
    return SGP_OK;
}

static void *shm_send_next(sgp_transport_t *transport, sgp_send_t *send) {
    shm_t *shm = shm_of(transport);
    if (!sgp_send_advance(transport, send)) return NULL;
    uint32_t created = shm->created, slot = take_slot(shm);
    send->slot = handle_of(slot);
    size_t bytes = send->header.elements * sgp_encoding_size(send->header.encoding);
    bool timed = bytes == transport->chunk_bytes && created == shm->created;
    send->non_temporal = sgp_stores_begin(&shm->stores, timed, shm_now(transport));
    return sgp_region_payload(&shm->own, slot);
}

static bool post_remote(shm_t *shm, uint32_t slot, const sgp_send_t *send,
                        const sgp_destination_t *to) {
    sgp_header_t header = send->header;
    header.weight = to->weight;
    return shm->remote && shm->remote->ops->post(shm->remote, to->dst, &header,
                                                 sgp_region_payload(&shm->own, slot), slot);
}

/* false: the receiver has left. */
static bool post(shm_t *shm, uint32_t slot, const sgp_send_t *send, const sgp_destination_t *to) {
    if (!is_local(shm, to->dst)) return post_remote(shm, slot, send, to);
    sgp_region_t *receiver = &shm->peers[to->dst].region;
    if (atomic_load_explicit(&receiver->control->left, memory_order_relaxed)) return false;
    sgp_region_entry_t entry = {.slot = slot, .weight = to->weight};
    sgp_region_post(&shm->own, to->dst, &entry);
    sgp_region_ring_doorbell(receiver);
    return true;
}

static void shm_send_commit(sgp_transport_t *transport, sgp_send_t *send) {
    shm_t *shm = shm_of(transport);
    uint32_t slot = slot_of(send->slot);
    sgp_region_slot_t *head = sgp_region_slot(&shm->own, slot);
    if (send->non_temporal) sgp_stream_fence();
    sgp_stores_end(&shm->stores, shm_now(transport));
    sgp_header_encode(&send->header, head->header);
    /* One reference more, ours, so that the slot cannot come back before all are posted. */
    atomic_store_explicit(&head->references, (uint32_t)send->destinations + 1,
                          memory_order_relaxed);
    for (int i = 0; i < send->destinations; i++)
        if (!post(shm, slot, send, &send->to[i])) sgp_region_drop(&shm->own, slot);
    sgp_region_drop(&shm->own, slot);
}

/* ---- receiving ---- */

static sgp_region_ring_t *ring_from(const shm_t *shm, int src) {
    const sgp_shm_peer_t *peer = &shm->peers[src];
    return sgp_region_ring(&peer->region, peer->ring, shm->transport.rank);
}

/* The next entry of src's ring to us, which is at `head`. */
static const sgp_region_entry_t *entry_at(const shm_t *shm, int src, uint32_t head) {
    return &ring_from(shm, src)->entries[head % sgp_region_ring_room(shm->peers[src].ring)];
}

/* The ring goes on in another part. false: that cannot be mapped, so nothing of src can be read any more. */
static bool follow(shm_t *shm, int src, uint32_t head) {
    sgp_shm_peer_t *peer = &shm->peers[src];
    uint32_t part = entry_at(shm, src, head)->part;
    if (sgp_fates_of(shm->transport.fates, src).state == SGP_FATE_LOST) return false;
    if (part <= (uint32_t)peer->ring || sgp_region_reach(&peer->region, part) != SGP_OK) {
        noticed(shm, src, sgp_fate_lost(SGP_CAUSE_FAILED), "its memory cannot be mapped");
        return false;
    }
    atomic_store_explicit(&ring_from(shm, src)->head, head + 1, memory_order_release);
    peer->ring = (int)part;
    return true;
}

static bool has_arrived(shm_t *shm, int src) {
    if (!is_local(shm, src)) return false;
    for (;;) {
        sgp_region_ring_t *ring = ring_from(shm, src);
        uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        if (atomic_load_explicit(&ring->tail, memory_order_acquire) == head) return false;
        if (entry_at(shm, src, head)->slot != SGP_RING_MOVED) return true;
        if (!follow(shm, src, head)) return false;
    }
}

static bool anything_arrived(shm_t *shm) {
    for (int r = 0; r < shm->transport.size; r++)
        if (has_arrived(shm, r)) return true;
    return shm->remote && shm->remote->ops->has_arrived(shm->remote);
}

/* Takes the next entry of src's ring. */
static sgp_status_t take_entry(shm_t *shm, int src, sgp_chunk_t *chunk) {
    sgp_region_t *region = &shm->peers[src].region;
    sgp_region_ring_t *ring = ring_from(shm, src);
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    sgp_region_entry_t entry = *entry_at(shm, src, head);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    if (entry.slot >= sgp_region_slots_before(region->count)) return SGP_ERR_REFUSED;
    sgp_region_slot_t *slot = sgp_region_slot(region, entry.slot);
    sgp_status_t status = sgp_transport_accept(&shm->transport, slot->header, &chunk->header);
    if (status == SGP_OK && chunk->header.src != src) status = SGP_ERR_REFUSED;
    if (status != SGP_OK) {
        sgp_region_drop(region, entry.slot);
        return status;
    }
    chunk->header.weight = entry.weight;
    chunk->slot = handle_of(entry.slot);
    chunk->payload = sgp_region_payload(region, entry.slot);
    return SGP_OK;
}

static sgp_status_t shm_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    shm_t *shm = shm_of(transport);
    /* Round the senders, so that one that never stops does not hide the others. */
    for (int i = 0; i < transport->size; i++) {
        int src = (shm->next_peer + i) % transport->size;
        while (has_arrived(shm, src)) {
            if (take_entry(shm, src, chunk) != SGP_OK) continue;
            shm->next_peer = (src + 1) % transport->size;
            return SGP_OK;
        }
    }
    return shm->remote ? shm->remote->ops->receive(shm->remote, chunk) : SGP_ERR_AGAIN;
}

static void shm_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    sgp_remote_t *remote = shm_of(transport)->remote;
    if (!is_local(shm_of(transport), chunk->header.src)) {
        remote->ops->release(remote, chunk);
        return;
    }
    sgp_region_t *region = &shm_of(transport)->peers[chunk->header.src].region;
    sgp_region_drop(region, slot_of(chunk->slot));
    chunk->slot = NULL;
}

/* ---- waiting ---- */

static bool worth_waking(shm_t *shm) {
    sgp_region_control_t *control = shm->own.control;
    if (anything_arrived(shm) || atomic_load(&shm->poked)) return true;
    return atomic_load(&control->wants_room) && atomic_load(&control->returned) != SGP_NO_SLOT;
}

static sgp_status_t woken(shm_t *shm) {
    atomic_store(&shm->poked, false);
    return SGP_OK;
}

/* A loss counts once all that the lost rank had sent is received: so it is looked for first. */
static sgp_status_t shm_wait(sgp_transport_t *transport, uint64_t deadline) {
    shm_t *shm = shm_of(transport);
    sgp_region_control_t *control = shm->own.control;
    for (;;) {
        uint32_t seen = atomic_load(&control->doorbell);
        atomic_store(&control->sleeping, 1);
        atomic_thread_fence(memory_order_seq_cst); /* pairs with sgp_region_ring_doorbell */
        bool lost = sgp_transport_lost_peer(transport) >= 0, wake = worth_waking(shm);
        uint64_t now = shm_now(transport), left = now < deadline ? deadline - now : 0;
        if (!wake && !lost && left)
            sgp_region_sleep(&shm->own, seen, left < LONGEST_NS ? left : LONGEST_NS);
        atomic_store(&control->sleeping, 0);
        if (!wake && !lost) lost = sgp_transport_lost_peer(transport) >= 0;
        if (wake || worth_waking(shm)) return woken(shm);
        if (lost) return SGP_ERR_PEER_LOST;
        if (!left) return SGP_ERR_TIMEOUT;
    }
}

static void shm_attend(sgp_transport_t *transport, bool attends) {
    atomic_store_explicit(&shm_of(transport)->own.control->attends, attends, memory_order_relaxed);
}

/* Slots of ours that some receiver has not given back. */
static uint32_t backlog(shm_t *shm) {
    uint32_t uncollected = atomic_load(&shm->own.control->given_back) - shm->taken_back;
    return shm->created - shm->free_count - uncollected;
}

/* All receivers are at their messages, and none of them is stuck there waiting for somebody else's. */
static bool receivers_at_work(shm_t *shm, const sgp_send_t *send) {
    for (int i = 0; i < send->destinations; i++) {
        if (!is_local(shm, send->to[i].dst)) return false; /* that one is not seen */
        sgp_region_control_t *control = shm->peers[send->to[i].dst].region.control;
        if (!atomic_load(&control->attends) || atomic_load(&control->left)) return false;
        if (atomic_load(&control->sleeping) && !atomic_load(&control->paused)) return false;
    }
    return send->destinations > 0;
}

/* Sleeps once, for as long as the sender's patience lasts. */
static void sleep_paused(shm_t *shm, sgp_send_t *send) {
    sgp_region_control_t *control = shm->own.control;
    want_room(shm, backlog(shm) - NEAREST);
    atomic_store(&control->paused, 1);
    uint32_t seen = atomic_load(&control->doorbell);
    atomic_store(&control->sleeping, 1);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with sgp_region_ring_doorbell */
    uint64_t now = shm_now(&shm->transport), end = send->paused_since + PATIENCE_NS;
    send->impatient = now >= end;
    if (!send->impatient && backlog(shm) > NEAREST && !anything_arrived(shm))
        sgp_region_sleep(&shm->own, seen, end - now);
    atomic_store(&control->sleeping, 0);
    atomic_store(&control->paused, 0);
    atomic_store(&control->wants_room, 0);
}

static bool shm_keep_close(sgp_transport_t *transport, sgp_send_t *send) {
    shm_t *shm = shm_of(transport);
    uint32_t most = send->paused_since ? NEAREST : FARTHEST;
    if (send->paused_since && shm_now(transport) - send->paused_since >= PATIENCE_NS)
        send->impatient = true; /* also where arrivals never let it sleep */
    while (!send->impatient && backlog(shm) > most && receivers_at_work(shm, send)) {
        if (anything_arrived(shm)) return true;
        if (!send->paused_since) send->paused_since = shm_now(transport);
        most = NEAREST;
        take_returned(shm);
        if (backlog(shm) > most) sleep_paused(shm, send);
    }
    send->paused_since = 0;
    return false;
}

/* ---- the agent ---- */

static sgp_status_t shm_agent_start(sgp_transport_t *transport, void (*body)(void *context),
                                    void *context) {
    return sgp_agent_start(&shm_of(transport)->agent, body, context);
}

static void shm_agent_join(sgp_transport_t *transport) {
    sgp_agent_join(&shm_of(transport)->agent);
}

static void shm_lock(sgp_transport_t *transport) {
    pthread_mutex_lock(&shm_of(transport)->agent.lock);
}

static void shm_unlock(sgp_transport_t *transport) {
    pthread_mutex_unlock(&shm_of(transport)->agent.lock);
}

static void shm_pause(sgp_transport_t *transport, uint64_t deadline) {
    sgp_agent_pause(&shm_of(transport)->agent, deadline);
}

static void shm_signal(sgp_transport_t *transport) {
    shm_t *shm = shm_of(transport);
    if (!sgp_agent_signal(&shm->agent)) return;
    atomic_store(&shm->poked, true);
    sgp_region_ring_doorbell(&shm->own);
}

/* ---- the end ---- */

static void shm_leave(sgp_transport_t *transport, uint64_t deadline) {
    shm_t *shm = shm_of(transport);
    /* For the others what we sent stays readable in our region as long as they have it mapped. */
    if (shm->remote) shm->remote->ops->leave(shm->remote, deadline);
    atomic_store(&shm->own.control->left, 1);
    sgp_chunk_t chunk;
    while (shm_receive(transport, &chunk) == SGP_OK) shm_release(transport, &chunk);
}

static void shm_destroy(sgp_transport_t *transport) {
    shm_t *shm = shm_of(transport);
    sgp_pulse_stop(&shm->pulse); /* first: it speaks to the remote, which reads from our region */
    if (shm->remote) shm->remote->ops->destroy(shm->remote);
    if (shm->peers) sgp_shm_disconnect(shm->peers, transport->size);
    sgp_region_unmap(&shm->own);
    sgp_agent_fini(&shm->agent);
    free(shm->peers);
    sgp_fates_destroy(transport->fates);
    free(shm->free_slots);
    free(shm);
}

static const sgp_transport_ops_t shm_ops = {
    .name = "shm",
    .now = shm_now,
    .wait = shm_wait,
    .prepare = shm_prepare,
    .unprepare = shm_unprepare,
    .send_begin = shm_send_begin,
    .send_next = shm_send_next,
    .send_commit = shm_send_commit,
    .attend = shm_attend,
    .keep_close = shm_keep_close,
    .receive = shm_receive,
    .release = shm_release,
    .agent_start = shm_agent_start,
    .agent_join = shm_agent_join,
    .lock = shm_lock,
    .unlock = shm_unlock,
    .pause = shm_pause,
    .signal = shm_signal,
    .leave = shm_leave,
    .destroy = shm_destroy,
};

/* ---- making ---- */

static bool any_local(const sgp_shm_options_t *options) {
    for (int r = 0; r < options->size; r++)
        if (r != options->rank && sgp_shm_is_local(options, r)) return true;
    return false;
}

static const char *name_of(const sgp_shm_options_t *options) {
    if (!options->remote) return "shm";
    return any_local(options) ? "auto" : "tcp";
}

static sgp_status_t check(const sgp_shm_options_t *options) {
    if (options->size < 1 || options->size > SGP_MOST_PROCESSES)
        return sgp_fail(SGP_ERR_INVALID, "%d nodes: must be 1 to %d", options->size,
                        SGP_MOST_PROCESSES);
    if (options->rank < 0 || options->rank >= options->size)
        return sgp_fail(SGP_ERR_INVALID, "rank %d of %d nodes: must be 0 to %d", options->rank,
                        options->size, options->size - 1);
    if (any_local(options) && (!options->rendezvous || !*options->rendezvous))
        return sgp_fail(SGP_ERR_INVALID, "%d nodes need a rendezvous directory", options->size);
    if (options->chunk_bytes % 64)
        return sgp_fail(SGP_ERR_INVALID, "shm: chunk_bytes is %zu, must be a multiple of 64",
                        options->chunk_bytes);
    return SGP_OK;
}

static sgp_status_t allocate(shm_t *shm, int size) {
    shm->peers = calloc((size_t)size, sizeof *shm->peers);
    for (int r = 0; shm->peers && r < size; r++)
        shm->peers[r].socket = shm->peers[r].region.file = -1;
    shm->free_slots = calloc(SGP_REGION_FIRST, sizeof *shm->free_slots);
    if (shm->peers && shm->free_slots && sgp_fates_create(size, &shm->transport.fates) == SGP_OK)
        return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "shm: no memory to connect %d nodes", size);
}

/* Of the remote, in its context. */
static void drop_slot(sgp_transport_t *transport, uint32_t slot) {
    sgp_region_drop(&shm_of(transport)->own, slot);
}

static void wake(sgp_transport_t *transport) {
    sgp_region_ring_doorbell(&shm_of(transport)->own);
}

static shm_t *make(const sgp_shm_options_t *options) {
    shm_t *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->ops = shm_ops;
    made->ops.name = name_of(options);
    made->transport = (sgp_transport_t){
        .ops = &made->ops,
        .rank = options->rank,
        .size = options->size,
        .run = options->run ? options->run : 1,
        .chunk_bytes = options->chunk_bytes ? options->chunk_bytes : SGP_CHUNK_BYTES,
    };
    made->remote = options->remote;
    sgp_agent_init(&made->agent, options->rank);
    return made;
}

static sgp_status_t start_remote(shm_t *shm) {
    sgp_remote_owner_t owner = {
        .transport = &shm->transport, .drop = drop_slot, .wake = wake, .note = record};
    return shm->remote ? shm->remote->ops->start(shm->remote, &owner) : SGP_OK;
}

static sgp_status_t start_pulse(shm_t *shm, const sgp_shm_options_t *options) {
    int timeout = options->peer_timeout_ms;
    sgp_pulse_options_t pulse = {.rank = options->rank,
                                 .size = options->size,
                                 .own = &shm->own,
                                 .peers = shm->peers,
                                 .peer_timeout_ms = timeout ? timeout : SGP_PEER_TIMEOUT_MS,
                                 .note = noticed,
                                 .owner = shm};
    return sgp_pulse_start(&shm->pulse, &pulse);
}

static sgp_status_t meet(shm_t *shm, const sgp_shm_options_t *options) {
    sgp_status_t status = start_pulse(shm, options);
    return status == SGP_OK ? sgp_shm_meet(options, &shm->own, shm->peers) : status;
}

static sgp_status_t connect_all(shm_t *shm, const sgp_shm_options_t *options) {
    sgp_status_t status = allocate(shm, options->size);
    if (status == SGP_OK)
        status = sgp_region_create(options->size, shm->transport.chunk_bytes, &shm->own);
    if (status == SGP_OK && any_local(options)) status = meet(shm, options);
    if (status == SGP_OK) status = start_remote(shm);
    if (status == SGP_OK && any_local(options)) sgp_pulse_watch(&shm->pulse);
    return status;
}

sgp_status_t sgp_shm_connect(const sgp_shm_options_t *options, sgp_transport_t **transport) {
    sgp_status_t status = check(options);
    shm_t *made = status == SGP_OK ? make(options) : NULL;
    if (status == SGP_OK && !made)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for it", name_of(options));
    if (!made) {
        if (options->remote) options->remote->ops->destroy(options->remote);
        return status;
    }
    status = connect_all(made, options);
    if (status != SGP_OK) {
        shm_destroy(&made->transport);
        return status;
    }
    *transport = &made->transport;
    return SGP_OK;
}
