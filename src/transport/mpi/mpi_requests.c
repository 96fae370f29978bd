/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/mpi/mpi_requests.h"

#include "base/logging.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVES      4 /* under way at a time */
#define SLOTS_AT_ONCE 16

enum { TAG_CHUNK = 1, TAG_CREDITS, TAG_LAST };

/* The first failure is logged; from then on the rank counts as lost. */
static void fail(mpi_t *mpi, int code, const char *what, int rank) {
    char text[64];
    if (mpi->has_failed) return;
    mpi->has_failed = true;
    sgp_transport_note(&mpi->transport, rank, sgp_fate_lost(SGP_CAUSE_FAILED),
                       "a call of MPI failed");
    snprintf(text, sizeof text, "%s node %d", what, rank);
    sgp_mpi_fail(mpi->library, code, text);
}

/* ---- slots ---- */

uint32_t sgp_mpi_room(const mpi_t *mpi) {
    return mpi->sent.free_count - mpi->reserved;
}

void sgp_mpi_drop(mpi_t *mpi, sgp_mpi_slot_t *slot) {
    assert(slot->references > 0);
    if (--slot->references == 0) sgp_mpi_slots_give(&mpi->sent, slot);
}

/* `rank` has returned the slot. */
static void take_back(mpi_t *mpi, uint32_t id, int rank) {
    sgp_mpi_slot_t *slot = id < mpi->sent.count ? mpi->sent.all[id] : NULL;
    if (!slot || !slot->awaits[rank]) return;
    slot->awaits[rank] = false;
    sgp_mpi_drop(mpi, slot);
}

/* ---- progress ---- */

/* bytes: in the peer's own memory, which stays there. */
static void send_control(mpi_t *mpi, int rank, int tag, const void *bytes, size_t count) {
    const sgp_mpi_binding_t *call = mpi->library->binding;
    int code = call->send(mpi->comm, bytes, count, rank, tag, &mpi->peers[rank]);
    if (code) fail(mpi, code, "a message to", rank);
}

static void forget_released(mpi_t *mpi, peer_t *peer) {
    for (sgp_mpi_slot_t *next, *slot = peer->released; slot; slot = next) {
        next = slot->next;
        sgp_mpi_slots_give(&mpi->received, slot);
    }
    if (peer->released) mpi->to_return--;
    peer->released = NULL;
}

void sgp_mpi_send_last(mpi_t *mpi, int rank) {
    peer_t *peer = &mpi->peers[rank];
    if (peer->last_sent) return;
    peer->last_sent = true;
    forget_released(mpi, peer);
    send_control(mpi, rank, TAG_LAST, NULL, 0);
}

/* Returns released slots to a peer. */
static void return_slots(mpi_t *mpi, int rank) {
    peer_t *peer = &mpi->peers[rank];
    size_t count = 0;
    while (peer->released && count < SGP_MPI_CREDITS) {
        sgp_mpi_slot_t *slot = peer->released;
        peer->released = slot->next;
        peer->returned[count++] = slot->theirs;
        sgp_mpi_slots_give(&mpi->received, slot);
    }
    if (!peer->released) mpi->to_return--;
    peer->sending = true;
    send_control(mpi, rank, TAG_CREDITS, peer->returned, count * sizeof *peer->returned);
}

static void return_all(mpi_t *mpi) {
    for (int r = 0; mpi->to_return > 0 && r < mpi->transport.size; r++)
        if (mpi->peers[r].released && !mpi->peers[r].sending) return_slots(mpi, r);
}

/* Handles a message that has arrived in a slot. */
static void arrived(mpi_t *mpi, sgp_mpi_slot_t *slot) {
    peer_t *peer = &mpi->peers[slot->src];
    mpi->receiving--;
    peer->receiving--;
    if (slot->tag == TAG_CHUNK) {
        slot->next = NULL;
        *mpi->ready_end = slot;
        mpi->ready_end = &slot->next;
        return;
    }
    uint32_t id;
    for (size_t at = 0; slot->tag == TAG_CREDITS && at + sizeof id <= slot->bytes;
         at += sizeof id) {
        memcpy(&id, slot->memory + at, sizeof id);
        take_back(mpi, id, slot->src);
    }
    if (slot->tag == TAG_LAST && !peer->has_left) {
        peer->has_left = true;
        mpi->peers_left++;
        sgp_transport_note(&mpi->transport, slot->src, sgp_fate_left(), NULL);
        atomic_store(&mpi->poked, true);
        for (uint32_t s = 0; s < mpi->sent.count; s++) take_back(mpi, s, slot->src);
        sgp_mpi_send_last(mpi, slot->src);
    }
    sgp_mpi_slots_give(&mpi->received, slot);
}

static void end_requests(mpi_t *mpi) {
    void **cookies = NULL;
    int count = 0;
    int code = mpi->library->binding->test(mpi->comm, &cookies, &count);
    if (code) fail(mpi, code, "messages under way of", mpi->transport.rank);
    for (int i = 0; i < count; i++) switch (*(sgp_mpi_cookie_t *)cookies[i]) {
        case SGP_MPI_SENT:
            sgp_mpi_drop(mpi, cookies[i]);
            break;
        case SGP_MPI_RECEIVED:
            arrived(mpi, cookies[i]);
            break;
        case SGP_MPI_CONTROL:
            ((peer_t *)cookies[i])->sending = false;
            break;
        }
}

/* A message that is too long is not from sgp: MPI truncates it and reports an error. */
static void begin_receive(mpi_t *mpi, sgp_mpi_message_t *message) {
    sgp_mpi_slot_t *slot = sgp_mpi_slots_take(&mpi->received);
    size_t most = mpi->received.front + mpi->received.chunk_bytes;
    if (message->bytes > most) message->bytes = most;
    slot->src = message->src;
    slot->tag = message->tag;
    slot->bytes = message->bytes;
    int code = mpi->library->binding->receive(mpi->comm, message, slot->memory, slot);
    if (!code) mpi->receiving++, mpi->peers[message->src].receiving++;
    else fail(mpi, code, "a message from", message->src);
}

/* Few at a time, so that the oldest are complete soon. Without memory for a slot the message stays with MPI until the
 * next call. */
static void begin_receives(mpi_t *mpi) {
    sgp_mpi_message_t message;
    while (mpi->receiving < RECEIVES && !mpi->has_failed) {
        bool found = false;
        if (!mpi->received.free && !sgp_mpi_slots_add(&mpi->received, SLOTS_AT_ONCE)) return;
        int code = mpi->library->binding->probe(mpi->comm, &message, &found);
        if (code) fail(mpi, code, "messages to", mpi->transport.rank);
        if (!found) return;
        begin_receive(mpi, &message);
    }
}

void sgp_mpi_progress(mpi_t *mpi) {
    if (mpi->has_failed) return;
    sgp_mpi_lock();
    begin_receives(mpi);
    end_requests(mpi);
    return_all(mpi);
    sgp_mpi_unlock();
}

/* ---- chunks ---- */

void sgp_mpi_post(mpi_t *mpi, sgp_mpi_slot_t *slot, const unsigned char *begin, int dst) {
    if (mpi->peers[dst].last_sent || mpi->has_failed) return;
    int code = mpi->library->binding->send(mpi->comm, begin, slot->bytes, dst, TAG_CHUNK, slot);
    if (code) {
        fail(mpi, code, "a message to", dst);
        return;
    }
    slot->awaits[dst] = true;
    slot->references += 2; /* the request, and the receiver */
}

sgp_mpi_slot_t *sgp_mpi_take_ready(mpi_t *mpi) {
    sgp_mpi_slot_t *slot = mpi->ready;
    if (!slot) return NULL;
    mpi->ready = slot->next;
    if (!mpi->ready) mpi->ready_end = &mpi->ready;
    return slot;
}

void sgp_mpi_release(mpi_t *mpi, sgp_mpi_slot_t *slot) {
    peer_t *peer = &mpi->peers[slot->src];
    if (peer->last_sent) {
        sgp_mpi_slots_give(&mpi->received, slot);
        return;
    }
    if (!peer->released) mpi->to_return++;
    slot->next = peer->released;
    peer->released = slot;
}

/* ---- making and freeing ---- */

sgp_status_t sgp_mpi_requests_init(mpi_t *mpi) {
    size_t size = (size_t)mpi->transport.size;
    mpi->peers = calloc(size, sizeof *mpi->peers);
    mpi->weights = calloc(size, sizeof *mpi->weights);
    if (!mpi->peers || !mpi->weights ||
        sgp_fates_create((int)size, (int)size, &mpi->transport.fates) != SGP_OK)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mpi: no memory to connect %zu ranks", size);
    for (size_t r = 0; r < size; r++) mpi->peers[r].cookie = SGP_MPI_CONTROL;
    sgp_mpi_slots_init(&mpi->sent, SGP_MPI_SENT, (int)size, mpi->transport.chunk_bytes);
    sgp_mpi_slots_init(&mpi->received, SGP_MPI_RECEIVED, (int)size, mpi->transport.chunk_bytes);
    if (sgp_mpi_slots_add(&mpi->received, SLOTS_AT_ONCE)) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "mpi: no memory to receive");
}

void sgp_mpi_requests_fini(mpi_t *mpi, bool forget) {
    sgp_mpi_slots_fini(&mpi->sent, forget);
    sgp_mpi_slots_fini(&mpi->received, forget);
    free(mpi->weights);
    if (!forget) free(mpi->peers);
}
