/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/slots/slots.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"
#include "base/stream.h"
#include "transport/forked.h"
#include "transport/outstanding.h"

#include <stdlib.h>

/* Chunks that a sender may be ahead of receivers at work; where it continues; how long it waits for
 * them at most, and then not again in the same message. Measured: docs/results.md. */
#define FARTHEST    4
#define NEAREST     2
#define PATIENCE_NS (20 * SGP_MILLISECOND)
#define LONGEST_NS  (3600 * SGP_SECOND) /* of one sleep */

static sgp_slots_t *slots_of(sgp_transport_t *transport) {
    return (sgp_slots_t *)transport;
}

uint64_t sgp_slots_now(sgp_transport_t *transport) {
    (void)transport;
    return sgp_clock_now();
}

/* ---- losses ---- */

/* The first one counts: a rank that ends for another's loss has written that. */
static void write_loss(sgp_slots_t *slots, int rank, sgp_cause_t cause) {
    uint32_t none = 0;
    atomic_compare_exchange_strong(&slots->own.control->lost, &none, sgp_loss_pack(rank, cause));
}

void sgp_slots_note(void *owner, int rank, sgp_fate_t fate, const char *why) {
    sgp_slots_t *slots = owner;
    if (fate.state == SGP_FATE_LOST && fate.cause != SGP_CAUSE_FOLLOWED)
        write_loss(slots, rank, fate.cause);
    if (!sgp_transport_note(&slots->transport, rank, fate, why)) return;
    if (fate.state == SGP_FATE_LEFT) sgp_slots_poke(slots);
    else sgp_region_ring_doorbell(&slots->own);
}

void sgp_slots_strike_off(sgp_slots_t *slots, int rank) {
    sgp_region_t *region = &slots->peers[rank].region;
    if (region->control) atomic_store(&region->control->struck_off, 1);
}

void sgp_slots_look_at_self(sgp_transport_t *transport) {
    sgp_slots_t *slots = slots_of(transport);
    if (!transport->elastic || !atomic_load(&slots->own.control->struck_off)) return;
    if (sgp_fates_of(transport->fates, transport->rank).state == SGP_FATE_PRESENT)
        sgp_slots_note(slots, transport->rank, sgp_fate_lost(SGP_CAUSE_STRUCK_OFF), NULL);
}

void sgp_slots_note_silence(void *owner, int rank, sgp_silence_t reason, bool holds) {
    sgp_slots_t *slots = owner;
    if (sgp_fates_set_silent(slots->transport.fates, rank, reason, holds))
        sgp_region_ring_doorbell(&slots->own);
}

void sgp_slots_note_absence(void *owner, uint64_t length) {
    sgp_slots_t *slots = owner;
    sgp_fates_note_absence(slots->transport.fates, length);
    sgp_slots_poke(slots);
}

void sgp_slots_poke(sgp_slots_t *slots) {
    atomic_store(&slots->poked, true);
    sgp_region_ring_doorbell(&slots->own);
}

/* ---- slots ---- */

/* A rank is gone: what it has not released comes back. Of one that is not local the transport drops the chunks. */
static void give_up(sgp_slots_t *slots, int rank) {
    sgp_own_slots_collect(&slots->own_slots, &slots->own, &slots->transport);
    sgp_outstanding_gone(&slots->transport, rank);
    if (!sgp_slots_is_local(slots, rank)) return;
    slots->peers[rank].gone = true;
    sgp_own_slots_forget(&slots->own_slots, rank);
}

/* Takes the slots that were given back, and those of the gone. */
static void collect(sgp_slots_t *slots) {
    if (sgp_own_slots_returned(&slots->own_slots, &slots->own))
        sgp_own_slots_collect(&slots->own_slots, &slots->own, &slots->transport);
    if (!slots->transport.elastic) return;
    while (slots->settled < sgp_fates_changes(slots->transport.fates)) {
        int rank = sgp_fates_changed(slots->transport.fates, slots->settled++);
        if (rank >= 0) give_up(slots, rank);
    }
}

/* Own slots that some receiver has not given back, or that are being written. */
static uint32_t backlog(sgp_slots_t *slots) {
    collect(slots);
    return slots->own_slots.created - slots->own_slots.free_count;
}

/* Promised slots that no message has a claim on. */
static uint64_t room(const sgp_slots_t *slots) {
    const sgp_own_slots_t *own = &slots->own_slots;
    uint64_t claimed = (uint64_t)own->created - own->free_count + slots->reserved;
    return claimed < slots->transport.promised ? slots->transport.promised - claimed : 0;
}

/* From now on a slot given back wakes this rank, once there are `more`. */
static void want_room(sgp_slots_t *slots, uint32_t more) {
    sgp_region_control_t *control = slots->own.control;
    atomic_store(&control->wake_at, slots->own_slots.seen + more);
    atomic_store(&control->wants_room, 1);
}

/* The slot given back last is still in the cache. Taking from the free ones first would cycle
 * through all slots that were ever needed at a time. */
static uint32_t take_slot(sgp_slots_t *slots) {
    slots->reserved--;
    collect(slots);
    return sgp_own_slots_take(&slots->own_slots);
}

/* Adds parts to the region until it has that many slots, with a place for each in the stack of free
 * ones. */
static sgp_status_t make_slots(sgp_slots_t *slots, uint64_t wanted) {
    uint64_t all = sgp_region_slots_before(slots->own.count);
    uint32_t most = sgp_region_slots_before(SGP_REGION_PARTS);
    const char *name = slots->transport.ops->name;
    if (wanted > most)
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: %llu chunks under way, at most %u are possible",
                        name, (unsigned long long)wanted, most);
    while (all < wanted) all *= 2;
    if (!sgp_own_slots_reserve(&slots->own_slots, all))
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to keep count of %llu chunks", name,
                        (unsigned long long)all);
    sgp_status_t status = SGP_OK;
    while (status == SGP_OK && sgp_region_slots_before(slots->own.count) < all)
        status = sgp_region_grow(&slots->own);
    return status;
}

sgp_status_t sgp_slots_prepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    uint64_t wanted = transport->promised + sgp_chunks_of_room(transport, bytes, messages);
    sgp_status_t status = sgp_transport_check_room(transport, wanted);
    if (status == SGP_OK) status = make_slots(slots_of(transport), wanted);
    if (status == SGP_OK) status = sgp_outstanding_prepare(transport, wanted);
    if (status == SGP_OK) transport->promised = wanted;
    return status;
}

void sgp_slots_unprepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    transport->promised -= sgp_chunks_of_room(transport, bytes, messages);
}

/* ---- newcomers ---- */

sgp_status_t sgp_slots_open_begin(sgp_slots_t *slots, int seat, uint32_t incarnation) {
    collect(slots); /* also what the earlier member has not released, which comes back */
    return sgp_transport_check_open(&slots->transport, seat, incarnation);
}

/* Slots that the transport gave back for the earlier member must not be taken for the newcomer's. */
void sgp_slots_open_end(sgp_slots_t *slots, int seat) {
    sgp_own_slots_collect(&slots->own_slots, &slots->own, &slots->transport);
    slots->peers[seat].retired = true;
    sgp_outstanding_opened(&slots->transport, seat);
    sgp_slots_poke(slots);
}

/* How sgp_send_t and sgp_chunk_t name a slot: not NULL. */
static void *handle_of(uint32_t slot) {
    return (void *)((uintptr_t)slot + 1);
}

static uint32_t slot_of(const void *handle) {
    return (uint32_t)((uintptr_t)handle - 1);
}

/* ---- sending ---- */

/* Whether there is room for so many chunks. If not, this rank is woken once there is. */
static bool find_room(sgp_slots_t *slots, size_t chunks) {
    if (room(slots) < chunks) collect(slots);
    if (room(slots) >= chunks) return true;
    want_room(slots, (uint32_t)(chunks - room(slots)));
    collect(slots); /* slots given back before `wants_room` was set */
    if (room(slots) < chunks) return false;
    atomic_store(&slots->own.control->wants_room, 0);
    return true;
}

sgp_status_t sgp_slots_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                  const sgp_destination_t *to, int destinations, sgp_send_t *send) {
    sgp_slots_t *slots = slots_of(transport);
    size_t chunks = sgp_chunks_of(transport, header->encoding, header->count);
    if (chunks > transport->promised)
        return sgp_fail(SGP_ERR_INVALID, "%s: a message of %zu chunks, prepared for %llu",
                        transport->ops->name, chunks, (unsigned long long)transport->promised);
    if (sgp_transport_any_lost(transport, to, destinations)) return SGP_ERR_PEER_LOST;
    if (!find_room(slots, chunks)) return SGP_ERR_AGAIN;
    sgp_send_init(transport, header, to, destinations, send);
    send->elsewhere = backlog(slots);
    sgp_status_t status = sgp_outstanding_begin(transport, send);
    if (status == SGP_OK) slots->reserved += (uint32_t)chunks;
    return status;
}

/* The slot goes back unused: no other rank has heard of it. */
void sgp_slots_send_abandon(sgp_transport_t *transport, sgp_send_t *send) {
    sgp_slots_t *slots = slots_of(transport);
    sgp_outstanding_abandoned(transport, send);
    slots->reserved -= (uint32_t)(send->left - send->open);
    if (send->open) sgp_own_slots_put(&slots->own_slots, slot_of(send->slot));
    sgp_send_abandoned(send);
}

/* Of the current chunk. */
static void *place_of(sgp_transport_t *transport, sgp_send_t *send) {
    sgp_slots_t *slots = slots_of(transport);
    uint32_t created = slots->own_slots.created, slot = take_slot(slots);
    send->slot = handle_of(slot);
    size_t full = sgp_encoding_fit(send->header.encoding, transport->chunk_bytes);
    bool timed = send->header.elements == full && created == slots->own_slots.created;
    send->non_temporal = sgp_stores_begin(&slots->stores, timed, sgp_clock_now());
    return sgp_region_payload(&slots->own, slot);
}

void *sgp_slots_send_next(sgp_transport_t *transport, sgp_send_t *send) {
    return sgp_send_advance(transport, send) ? place_of(transport, send) : NULL;
}

void *sgp_slots_send_chunk(sgp_transport_t *transport, sgp_send_t *send, uint64_t index) {
    sgp_send_select(transport, send, index);
    return place_of(transport, send);
}

/* The chunk is written. Local receivers read the header from the slot; others get their own, with the chunk's hash. */
static uint32_t seal(sgp_slots_t *slots, sgp_send_t *send) {
    uint32_t slot = slot_of(send->slot);
    bool local = false;
    sgp_send_committed(send);
    if (send->non_temporal) sgp_stream_fence();
    sgp_stores_end(&slots->stores, sgp_clock_now());
    for (int i = 0; i < send->destinations && !local; i++)
        local = sgp_slots_is_local(slots, send->to[i].dst);
    if (local) sgp_header_encode(&send->header, sgp_region_slot(&slots->own, slot)->header);
    /* One more for this rank, so that the slot cannot come back before all are told. */
    sgp_own_slots_seal(&slots->own_slots, slot, (uint32_t)send->destinations + 1);
    sgp_outstanding_committed(&slots->transport, send);
    return slot;
}

/* Tells a local destination. false: it is gone. */
static bool post(sgp_slots_t *slots, uint32_t slot, const sgp_destination_t *to, uint32_t record) {
    sgp_region_t *receiver = &slots->peers[to->dst].region;
    if (slots->peers[to->dst].gone) return false;
    if (atomic_load_explicit(&receiver->control->left, memory_order_relaxed)) return false;
    sgp_own_slots_hold(&slots->own_slots, slot, to->dst);
    sgp_region_entry_t entry = {.slot = slot, .record = record, .weight = to->weight};
    sgp_region_post(&slots->own, to->dst, &entry);
    sgp_region_ring_doorbell(receiver);
    return true;
}

bool sgp_slots_commit(sgp_slots_t *slots, sgp_send_t *send, sgp_slots_carry_fn carry) {
    uint32_t slot = seal(slots, send), record = send->records;
    bool any = false;
    for (int i = 0; i < send->destinations; i++) {
        const sgp_destination_t *to = &send->to[i];
        bool local = sgp_slots_is_local(slots, to->dst);
        bool told = local ? post(slots, slot, to, record) : carry(slots, send, slot, to, record);
        if (!told) sgp_own_slots_drop(&slots->own_slots, slot);
        any |= told && !local;
        record = sgp_outstanding_next(&slots->transport, record);
    }
    sgp_own_slots_drop(&slots->own_slots, slot);
    return any;
}

void sgp_slots_send_commit(sgp_transport_t *transport, sgp_send_t *send) {
    sgp_slots_commit(slots_of(transport), send, NULL);
}

bool sgp_slots_take_back(sgp_transport_t *transport, uint32_t channel, sgp_returned_t *returned) {
    collect(slots_of(transport));
    return sgp_outstanding_take_back(transport, channel, returned);
}

/* ---- receiving ---- */

static sgp_region_ring_t *ring_from(const sgp_slots_t *slots, int src) {
    const sgp_slots_peer_t *peer = &slots->peers[src];
    return sgp_region_ring(&peer->region, peer->ring, slots->transport.rank);
}

/* The entry at `head` of src's ring to this rank. */
static const sgp_region_entry_t *entry_at(const sgp_slots_t *slots, int src, uint32_t head) {
    return &ring_from(slots, src)->entries[head % sgp_region_ring_room(slots->peers[src].ring)];
}

/* The ring continues in another part. false: that cannot be mapped, so nothing more of src can be
 * read. */
static bool follow(sgp_slots_t *slots, int src, uint32_t head) {
    sgp_slots_peer_t *peer = &slots->peers[src];
    uint32_t part = entry_at(slots, src, head)->part;
    if (sgp_fates_of(slots->transport.fates, src).state == SGP_FATE_LOST) return false;
    if (part <= (uint32_t)peer->ring || sgp_region_reach(&peer->region, part) != SGP_OK) {
        slots->note(slots, src, sgp_fate_lost(SGP_CAUSE_FAILED), "its memory cannot be mapped");
        return false;
    }
    atomic_store_explicit(&ring_from(slots, src)->head, head + 1, memory_order_release);
    peer->ring = (int)part;
    return true;
}

static bool has_arrived(sgp_slots_t *slots, int src) {
    if (!sgp_slots_is_local(slots, src)) return false;
    for (;;) {
        sgp_region_ring_t *ring = ring_from(slots, src);
        uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        if (atomic_load_explicit(&ring->tail, memory_order_acquire) == head) return false;
        if (entry_at(slots, src, head)->slot != SGP_RING_MOVED) return true;
        if (!follow(slots, src, head)) return false;
    }
}

static bool anything_arrived(sgp_slots_t *slots) {
    if (atomic_load(&slots->elsewhere)) return true;
    for (int r = 0; r < slots->transport.capacity; r++)
        if (has_arrived(slots, r)) return true;
    return false;
}

/* Takes the next entry of src's ring. */
static sgp_status_t take_entry(sgp_slots_t *slots, int src, sgp_chunk_t *chunk) {
    sgp_region_t *region = &slots->peers[src].region;
    sgp_region_ring_t *ring = ring_from(slots, src);
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    sgp_region_entry_t entry = *entry_at(slots, src, head);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    if (entry.slot >= sgp_region_slots_before(region->count)) return SGP_ERR_REFUSED;
    sgp_region_slot_t *slot = sgp_region_slot(region, entry.slot);
    sgp_status_t status = sgp_transport_accept(&slots->transport, slot->header, &chunk->header);
    if (status == SGP_OK && chunk->header.src != src) status = SGP_ERR_REFUSED;
    if (status != SGP_OK) {
        sgp_region_give_back(region, slots->transport.rank, entry.slot, entry.record);
        return status;
    }
    chunk->header.weight = entry.weight;
    chunk->record = entry.record;
    chunk->slot = handle_of(entry.slot);
    chunk->payload = sgp_region_payload(region, entry.slot);
    return SGP_OK;
}

/* In turns, so that a sender that never stops does not hide the others. */
sgp_status_t sgp_slots_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    sgp_slots_t *slots = slots_of(transport);
    for (int i = 0; i < transport->capacity; i++) {
        int src = (slots->next_peer + i) % transport->capacity;
        while (has_arrived(slots, src)) {
            if (take_entry(slots, src, chunk) != SGP_OK) continue;
            slots->next_peer = (src + 1) % transport->capacity;
            return SGP_OK;
        }
    }
    return SGP_ERR_AGAIN;
}

void sgp_slots_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    sgp_region_give_back(&slots_of(transport)->peers[chunk->header.src].region, transport->rank,
                         slot_of(chunk->slot), chunk->record);
    chunk->slot = NULL;
}

void sgp_slots_arrived_elsewhere(sgp_slots_t *slots) {
    atomic_fetch_add(&slots->elsewhere, 1);
    sgp_region_ring_doorbell(&slots->own);
}

void sgp_slots_received_elsewhere(sgp_slots_t *slots) {
    atomic_fetch_sub(&slots->elsewhere, 1);
}

/* ---- waiting ---- */

static bool worth_waking(sgp_slots_t *slots) {
    sgp_region_control_t *control = slots->own.control;
    if (anything_arrived(slots) || atomic_load(&slots->poked)) return true;
    return atomic_load(&control->wants_room) &&
           sgp_own_slots_returned(&slots->own_slots, &slots->own);
}

static sgp_status_t woken(sgp_slots_t *slots) {
    atomic_store(&slots->poked, false);
    return SGP_OK;
}

/* A loss counts once all chunks of the lost rank are received, so losses are looked for first. */
sgp_status_t sgp_slots_wait(sgp_transport_t *transport, uint64_t deadline) {
    sgp_slots_t *slots = slots_of(transport);
    sgp_region_control_t *control = slots->own.control;
    for (;;) {
        uint32_t seen = atomic_load(&control->doorbell);
        atomic_store(&control->sleeping, 1);
        atomic_thread_fence(memory_order_seq_cst); /* pairs with sgp_region_ring_doorbell */
        bool lost = sgp_transport_loss_ends_wait(transport);
        bool wake = sgp_transport_take_event(transport) || worth_waking(slots);
        uint64_t now = sgp_clock_now(), left = now < deadline ? deadline - now : 0;
        if (!wake && !lost && left)
            sgp_region_sleep(&slots->own, seen, left < LONGEST_NS ? left : LONGEST_NS);
        atomic_store(&control->sleeping, 0);
        if (!wake && !lost) lost = sgp_transport_loss_ends_wait(transport);
        if (wake || worth_waking(slots)) return woken(slots);
        if (lost) return SGP_ERR_PEER_LOST;
        if (!left) return SGP_ERR_TIMEOUT;
    }
}

void sgp_slots_attend(sgp_transport_t *transport, bool attends) {
    atomic_store_explicit(&slots_of(transport)->own.control->attends, attends,
                          memory_order_relaxed);
}

/* Those of this message. A receiver may keep another mixer's message for a long time, until that mixer steps. */
static uint32_t backlog_of(sgp_slots_t *slots, sgp_send_t *send) {
    uint32_t all = backlog(slots);
    if (all < send->elsewhere) send->elsewhere = all;
    return all - send->elsewhere;
}

/* All receivers are local and at their messages, and none of them waits there for
 * another sender's. */
static bool receivers_at_work(sgp_slots_t *slots, const sgp_send_t *send) {
    for (int i = 0; i < send->destinations; i++) {
        if (!sgp_slots_is_local(slots, send->to[i].dst)) return false;
        if (slots->peers[send->to[i].dst].gone) return false;
        sgp_region_control_t *control = slots->peers[send->to[i].dst].region.control;
        if (!atomic_load(&control->attends) || atomic_load(&control->left)) return false;
        if (atomic_load(&control->sleeping) && !atomic_load(&control->paused)) return false;
    }
    return send->destinations > 0;
}

/* Sleeps once, for as long as the sender's patience lasts. */
static void sleep_paused(sgp_slots_t *slots, sgp_send_t *send) {
    sgp_region_control_t *control = slots->own.control;
    want_room(slots, backlog_of(slots, send) - NEAREST);
    atomic_store(&control->paused, 1);
    uint32_t seen = atomic_load(&control->doorbell);
    atomic_store(&control->sleeping, 1);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with sgp_region_ring_doorbell */
    uint64_t now = sgp_clock_now(), end = send->paused_since + PATIENCE_NS;
    send->impatient = now >= end;
    if (!send->impatient && backlog_of(slots, send) > NEAREST && !anything_arrived(slots))
        sgp_region_sleep(&slots->own, seen, end - now);
    atomic_store(&control->sleeping, 0);
    atomic_store(&control->paused, 0);
    atomic_store(&control->wants_room, 0);
}

bool sgp_slots_keep_close(sgp_transport_t *transport, sgp_send_t *send) {
    sgp_slots_t *slots = slots_of(transport);
    uint32_t most = send->paused_since ? NEAREST : FARTHEST;
    if (send->paused_since && sgp_clock_now() - send->paused_since >= PATIENCE_NS)
        send->impatient = true; /* also where arrivals never let it sleep */
    while (!send->impatient && backlog_of(slots, send) > most && receivers_at_work(slots, send)) {
        if (anything_arrived(slots)) return true;
        if (!send->paused_since) send->paused_since = sgp_clock_now();
        most = NEAREST;
        if (backlog_of(slots, send) > most) sleep_paused(slots, send);
    }
    send->paused_since = 0;
    return false;
}

/* ---- the agent ---- */

sgp_status_t sgp_slots_agent_start(sgp_transport_t *transport, void (*body)(void *context),
                                   void *context) {
    return sgp_agent_start(&slots_of(transport)->agent, body, context);
}

void sgp_slots_agent_join(sgp_transport_t *transport) {
    sgp_agent_join(&slots_of(transport)->agent);
}

void sgp_slots_lock(sgp_transport_t *transport) {
    pthread_mutex_lock(&slots_of(transport)->agent.lock);
}

void sgp_slots_unlock(sgp_transport_t *transport) {
    pthread_mutex_unlock(&slots_of(transport)->agent.lock);
}

void sgp_slots_pause(sgp_transport_t *transport, uint64_t deadline) {
    sgp_agent_pause(&slots_of(transport)->agent, deadline);
}

void sgp_slots_signal(sgp_transport_t *transport) {
    sgp_slots_t *slots = slots_of(transport);
    if (sgp_agent_signal(&slots->agent)) sgp_slots_poke(slots);
    else if (atomic_load(&slots->own.control->watched)) sgp_region_ring_doorbell(&slots->own);
}

/* ---- making and ending ---- */

static int capacity_of(const sgp_slots_options_t *options) {
    return options->capacity ? options->capacity : options->size;
}

static sgp_status_t check(const sgp_slots_options_t *options) {
    int capacity = capacity_of(options), ranks = options->seats ? capacity : options->size;
    if (options->size < 1 || options->size > SGP_MOST_PROCESSES)
        return sgp_fail(SGP_ERR_INVALID, "%d nodes: must be 1 to %d", options->size,
                        SGP_MOST_PROCESSES);
    if (capacity < options->size || capacity > SGP_MOST_PROCESSES)
        return sgp_fail(SGP_ERR_INVALID, "%d seats for %d nodes: must be %d to %d", capacity,
                        options->size, options->size, SGP_MOST_PROCESSES);
    if (options->rank < 0 || options->rank >= ranks)
        return sgp_fail(SGP_ERR_INVALID, "rank %d of %d nodes: must be 0 to %d", options->rank,
                        ranks, ranks - 1);
    if (options->chunk_bytes % 64)
        return sgp_fail(SGP_ERR_INVALID, "%s: chunk_bytes is %zu, must be a multiple of 64",
                        options->ops->name, options->chunk_bytes);
    return SGP_OK;
}

static sgp_status_t allocate(sgp_slots_t *slots, int capacity, int size) {
    slots->peers = calloc((size_t)capacity, sizeof *slots->peers);
    for (int r = 0; slots->peers && r < capacity; r++) slots->peers[r].region.file = -1;
    if (slots->peers && sgp_own_slots_init(&slots->own_slots, capacity) &&
        sgp_fates_create(capacity, size, &slots->transport.fates) == SGP_OK)
        return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to connect %d nodes",
                    slots->transport.ops->name, capacity);
}

static void seat_all(sgp_slots_t *slots, const sgp_slots_options_t *options) {
    for (int r = 0; r < slots->transport.capacity; r++) {
        sgp_seat_t seat = options->seats[r];
        if (r == options->rank) seat = (sgp_seat_t){SGP_FATE_PRESENT, options->incarnation};
        sgp_fates_seat(slots->transport.fates, r, seat.incarnation, seat.state);
    }
}

sgp_status_t sgp_slots_init(sgp_slots_t *slots, const sgp_slots_options_t *options) {
    slots->transport = (sgp_transport_t){
        .ops = options->ops,
        .rank = options->rank,
        .size = options->size,
        .capacity = capacity_of(options),
        .incarnation = options->incarnation,
        .run = options->run,
        .chunk_bytes = options->chunk_bytes ? options->chunk_bytes : SGP_CHUNK_BYTES,
    };
    slots->note = sgp_slots_note;
    sgp_agent_init(&slots->agent, options->rank);
    sgp_status_t status = check(options);
    if (status == SGP_OK) status = allocate(slots, slots->transport.capacity, options->size);
    if (status == SGP_OK && options->seats) seat_all(slots, options);
    if (status == SGP_OK)
        status =
            sgp_region_create(slots->transport.capacity, slots->transport.chunk_bytes, &slots->own);
    if (status == SGP_OK) sgp_forked_guard(&slots->transport);
    return status;
}

void sgp_slots_abort(sgp_transport_t *transport) {
    write_loss(slots_of(transport), transport->rank, SGP_CAUSE_ABORTED);
}

void sgp_slots_leave(sgp_transport_t *transport, uint64_t deadline) {
    sgp_chunk_t chunk;
    (void)deadline;
    atomic_store(&slots_of(transport)->own.control->left, 1);
    if (transport->elastic) return; /* what this rank has not absorbed comes back to its senders */
    while (sgp_transport_receive(transport, &chunk) == SGP_OK)
        sgp_transport_release(transport, &chunk);
}

void sgp_slots_fini(sgp_slots_t *slots) {
    sgp_forked_unguard(&slots->transport);
    for (int r = 0; slots->peers && r < slots->transport.capacity; r++)
        sgp_region_unmap(&slots->peers[r].region);
    sgp_region_unmap(&slots->own);
    sgp_agent_fini(&slots->agent);
    sgp_fates_destroy(slots->transport.fates);
    free(slots->peers);
    sgp_own_slots_fini(&slots->own_slots);
    sgp_outstanding_fini(&slots->transport);
}
