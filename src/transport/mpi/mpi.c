/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving. A rank that leaves sends a last message, marked as such, to every other rank. A rank that receives one sends
 * nothing more there but its own last message. MPI keeps the messages of one rank in order, so a rank that has all last
 * messages has received everything, and no rank waits until the others leave as well.
 *
 * Waiting. MPI has no call that sleeps until something arrives. So a rank polls, sleeps for a part of the time that it
 * has waited already, at most MOST_SLEEP_NS, and polls again. */
#include "transport/mpi/mpi.h"

#include "base/constants.h"
#include "base/clock.h"
#include "base/logging.h"
#include "transport/mpi/mpi_requests.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Measured: docs/results.md. */
#define YIELD_NS       200000u /* a wait begins with polling and yielding */
#define LEAST_SLEEP_NS 10000u
#define MOST_SLEEP_NS  200000u
#define SLEEP_SHARE    8 /* of the wait so far */

static mpi_t *mpi_of(sgp_transport_t *transport) {
    return (mpi_t *)transport;
}

static uint64_t mpi_now(sgp_transport_t *transport) {
    (void)transport;
    return sgp_clock_now();
}

/* ---- sending ---- */

/* A promise that is taken back leaves its slots for the next one. */
static sgp_status_t mpi_prepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    mpi_t *mpi = mpi_of(transport);
    uint64_t wanted = transport->promised + sgp_chunks_of_room(transport, bytes, messages);
    sgp_status_t status = sgp_transport_check_room(transport, wanted);
    if (status != SGP_OK) return status;
    uint64_t more = wanted > mpi->sent.count ? wanted - mpi->sent.count : 0;
    if (more >= UINT32_MAX / 2 || (more && !sgp_mpi_slots_add(&mpi->sent, (uint32_t)more)))
        return sgp_fail(SGP_ERR_NO_MEMORY, "mpi: no memory for %u messages of %zu bytes under way",
                        messages, bytes);
    transport->promised = wanted;
    return SGP_OK;
}

static void mpi_unprepare(sgp_transport_t *transport, size_t bytes, unsigned messages) {
    transport->promised -= sgp_chunks_of_room(transport, bytes, messages);
}

static bool is_there_room(mpi_t *mpi, uint32_t chunks) {
    if (sgp_mpi_room(mpi) < chunks) sgp_mpi_progress(mpi);
    return sgp_mpi_room(mpi) >= chunks;
}

static sgp_status_t mpi_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                   const sgp_destination_t *to, int destinations,
                                   sgp_send_t *send) {
    mpi_t *mpi = mpi_of(transport);
    size_t chunks = sgp_chunks_of(transport, header->encoding, header->count);
    if (chunks > mpi->sent.count)
        return sgp_fail(SGP_ERR_INVALID, "mpi: a message of %zu chunks, prepared for %u", chunks,
                        mpi->sent.count);
    if (mpi->has_failed) return SGP_ERR_PEER_LOST;
    mpi->wanted = 0;
    if (!is_there_room(mpi, (uint32_t)chunks)) {
        mpi->wanted = (uint32_t)chunks;
        return SGP_ERR_AGAIN;
    }
    mpi->reserved += (uint32_t)chunks;
    sgp_send_init(transport, header, to, destinations, send);
    return SGP_OK;
}

/* Of the current chunk. */
static void *place_of(sgp_transport_t *transport, sgp_send_t *send) {
    mpi_t *mpi = mpi_of(transport);
    sgp_mpi_slot_t *slot = sgp_mpi_slots_take(&mpi->sent);
    mpi->reserved--;
    send->slot = slot;
    return slot->memory + mpi->sent.front;
}

static void *mpi_send_next(sgp_transport_t *transport, sgp_send_t *send) {
    return sgp_send_advance(transport, send) ? place_of(transport, send) : NULL;
}

static void *mpi_send_chunk(sgp_transport_t *transport, sgp_send_t *send, uint64_t index) {
    sgp_send_select(transport, send, index);
    return place_of(transport, send);
}

static void mpi_send_abandon(sgp_transport_t *transport, sgp_send_t *send) {
    mpi_t *mpi = mpi_of(transport);
    mpi->reserved -= (uint32_t)(send->left - send->open);
    if (send->open) sgp_mpi_slots_give(&mpi->sent, send->slot);
    sgp_send_abandoned(send);
}

/* (size) by rank; NULL: the weight is the same for all destinations. */
static const double *weights_of(mpi_t *mpi, const sgp_send_t *send) {
    bool differ = false;
    for (int i = 1; i < send->destinations; i++) differ |= send->to[i].weight != send->to[0].weight;
    for (int i = 0; differ && i < send->destinations; i++)
        mpi->weights[send->to[i].dst] = send->to[i].weight;
    return differ ? mpi->weights : NULL;
}

static void mpi_send_commit(sgp_transport_t *transport, sgp_send_t *send) {
    mpi_t *mpi = mpi_of(transport);
    sgp_mpi_slot_t *slot = send->slot;
    sgp_header_t header = send->header;
    sgp_send_committed(send);
    if (send->destinations > 0) header.weight = send->to[0].weight;
    const unsigned char *begin =
        sgp_mpi_slot_seal(&mpi->sent, slot, &header, weights_of(mpi, send));
    slot->references = 1; /* ours, until all are posted */
    sgp_mpi_lock();
    for (int i = 0; i < send->destinations; i++) sgp_mpi_post(mpi, slot, begin, send->to[i].dst);
    sgp_mpi_unlock();
    sgp_mpi_drop(mpi, slot);
}

/* ---- receiving ---- */

static bool is_weight(double weight) {
    return isfinite(weight) && weight > 0;
}

static sgp_status_t open_chunk(mpi_t *mpi, sgp_mpi_slot_t *slot, sgp_chunk_t *chunk) {
    sgp_transport_t *transport = &mpi->transport;
    double weight;
    unsigned char *payload = NULL;
    if (!sgp_mpi_slot_open(&mpi->received, slot, transport->rank, &weight, &payload))
        return SGP_ERR_REFUSED;
    sgp_status_t status = sgp_transport_accept(transport, slot->memory, &chunk->header);
    if (status != SGP_OK) return status;
    size_t bytes = sgp_encoding_bytes(chunk->header.encoding, chunk->header.elements);
    if (chunk->header.src != slot->src || payload + bytes != slot->memory + slot->bytes)
        return SGP_ERR_REFUSED;
    if (weight != 0 && !is_weight(weight)) return SGP_ERR_REFUSED;
    if (weight != 0) chunk->header.weight = weight;
    chunk->payload = payload;
    chunk->slot = slot;
    return SGP_OK;
}

static sgp_status_t mpi_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    mpi_t *mpi = mpi_of(transport);
    if (!mpi->ready) sgp_mpi_progress(mpi);
    for (sgp_mpi_slot_t *slot; (slot = sgp_mpi_take_ready(mpi));) {
        if (open_chunk(mpi, slot, chunk) == SGP_OK) return SGP_OK;
        sgp_mpi_release(mpi, slot);
    }
    return SGP_ERR_AGAIN;
}

static void mpi_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    sgp_mpi_release(mpi_of(transport), chunk->slot);
    chunk->slot = NULL;
}

/* ---- waiting ---- */

/* Between two polls of a wait that began at `start`. */
static void rest(uint64_t start, uint64_t deadline) {
    uint64_t now = sgp_clock_now(), waited = now - start, left = deadline - now;
    if (now >= deadline) return;
    if (waited < YIELD_NS) {
        sched_yield();
        return;
    }
    uint64_t sleep = waited / SLEEP_SHARE;
    if (sleep < LEAST_SLEEP_NS) sleep = LEAST_SLEEP_NS;
    if (sleep > MOST_SLEEP_NS) sleep = MOST_SLEEP_NS;
    if (sleep > left) sleep = left;
    nanosleep(&(struct timespec){.tv_nsec = (long)sleep}, NULL);
}

static bool worth_waking(mpi_t *mpi) {
    if (mpi->ready || atomic_exchange(&mpi->poked, false)) return true;
    return mpi->wanted && sgp_mpi_room(mpi) >= mpi->wanted;
}

static sgp_status_t mpi_wait(sgp_transport_t *transport, uint64_t deadline) {
    mpi_t *mpi = mpi_of(transport);
    uint64_t start = sgp_clock_now();
    for (;;) {
        sgp_mpi_progress(mpi);
        if (worth_waking(mpi)) return SGP_OK;
        if (mpi->has_failed) return SGP_ERR_PEER_LOST;
        if (sgp_clock_now() >= deadline) return SGP_ERR_TIMEOUT;
        rest(start, deadline);
    }
}

/* A long message can arrive after the last one, which follows it. */
static bool mpi_has_ended(sgp_transport_t *transport, int rank) {
    const peer_t *peer = &mpi_of(transport)->peers[rank];
    return peer->has_left && peer->receiving == 0;
}

static sgp_status_t mpi_sum(sgp_transport_t *transport, float *values, size_t count) {
    mpi_t *mpi = mpi_of(transport);
    sgp_mpi_lock();
    int code = mpi->library->binding->sum(mpi->comm, values, count);
    sgp_mpi_unlock();
    return code ? sgp_mpi_fail(mpi->library, code, "all-reduce") : SGP_OK;
}

/* ---- the agent ---- */

static sgp_status_t mpi_agent_start(sgp_transport_t *transport, void (*body)(void *context),
                                    void *context) {
    mpi_t *mpi = mpi_of(transport);
    if (mpi->library->state.any_thread) return sgp_agent_start(&mpi->agent, body, context);
    return sgp_fail(SGP_ERR_UNSUPPORTED,
                    "mpi: the program initialised MPI for one thread alone; an agent needs "
                    "MPI_THREAD_SERIALIZED");
}

static void mpi_agent_join(sgp_transport_t *transport) {
    sgp_agent_join(&mpi_of(transport)->agent);
}

static void mpi_lock(sgp_transport_t *transport) {
    pthread_mutex_lock(&mpi_of(transport)->agent.lock);
}

static void mpi_unlock(sgp_transport_t *transport) {
    pthread_mutex_unlock(&mpi_of(transport)->agent.lock);
}

static void mpi_pause(sgp_transport_t *transport, uint64_t deadline) {
    sgp_agent_pause(&mpi_of(transport)->agent, deadline);
}

static void mpi_signal(sgp_transport_t *transport) {
    mpi_t *mpi = mpi_of(transport);
    if (sgp_agent_signal(&mpi->agent)) atomic_store(&mpi->poked, true); /* seen at its next poll */
}

/* ---- the end ---- */

static void discard_ready(mpi_t *mpi) {
    for (sgp_mpi_slot_t *slot; (slot = sgp_mpi_take_ready(mpi));) sgp_mpi_release(mpi, slot);
}

static bool is_over(const mpi_t *mpi) {
    return mpi->peers_left == mpi->transport.size - 1 &&
           mpi->library->binding->pending(mpi->comm) == 0;
}

static void mpi_leave(sgp_transport_t *transport, uint64_t deadline) {
    mpi_t *mpi = mpi_of(transport);
    uint64_t start = sgp_clock_now();
    discard_ready(mpi);
    sgp_mpi_lock();
    for (int r = 0; r < transport->size; r++)
        if (r != transport->rank) sgp_mpi_send_last(mpi, r);
    sgp_mpi_unlock();
    for (;;) {
        sgp_mpi_progress(mpi);
        discard_ready(mpi);
        mpi->left = is_over(mpi);
        if (mpi->left || mpi->has_failed || sgp_clock_now() >= deadline) return;
        rest(start, deadline);
    }
}

/* If the transport was not left in order, MPI may still use its memory. */
static void mpi_destroy(sgp_transport_t *transport) {
    mpi_t *mpi = mpi_of(transport);
    bool pending = mpi->comm && mpi->library->binding->pending(mpi->comm) > 0;
    if (mpi->comm && mpi->left) {
        sgp_mpi_lock();
        mpi->library->binding->destroy(mpi->comm);
        sgp_mpi_unlock();
        sgp_mpi_count_left();
    }
    sgp_mpi_requests_fini(mpi, pending);
    sgp_agent_fini(&mpi->agent);
    sgp_fates_destroy(mpi->transport.fates);
    free(mpi);
}

static const sgp_transport_ops_t mpi_ops = {
    .name = "mpi",
    .now = mpi_now,
    .wait = mpi_wait,
    .has_ended = mpi_has_ended,
    .prepare = mpi_prepare,
    .unprepare = mpi_unprepare,
    .send_begin = mpi_send_begin,
    .send_next = mpi_send_next,
    .send_chunk = mpi_send_chunk,
    .send_commit = mpi_send_commit,
    .send_abandon = mpi_send_abandon,
    .receive = mpi_receive,
    .release = mpi_release,
    .agent_start = mpi_agent_start,
    .agent_join = mpi_agent_join,
    .lock = mpi_lock,
    .unlock = mpi_unlock,
    .pause = mpi_pause,
    .signal = mpi_signal,
    .sum = mpi_sum,
    .leave = mpi_leave,
    .destroy = mpi_destroy,
};

bool sgp_mpi_is(const sgp_transport_t *transport) {
    return transport->ops == &mpi_ops;
}

/* ---- making ---- */

/* The first exchange of all ranks. */
typedef struct greeting {
    uint64_t run;
    uint64_t chunk_bytes;
    char version[16];
} greeting_t;

static sgp_status_t check_greetings(mpi_t *mpi, const greeting_t *mine, const greeting_t *all) {
    for (int r = 0; r < mpi->transport.size; r++) {
        if (strncmp(all[r].version, mine->version, sizeof mine->version) != 0)
            return sgp_fail(SGP_ERR_MISMATCH, "node %d runs sgp %.16s and node %d sgp %.16s", r,
                            all[r].version, mpi->transport.rank, mine->version);
        if (all[r].chunk_bytes != mine->chunk_bytes)
            return sgp_fail(SGP_ERR_MISMATCH, "mpi: chunks of %llu bytes on node %d, of %llu here",
                            (unsigned long long)all[r].chunk_bytes, r,
                            (unsigned long long)mine->chunk_bytes);
    }
    mpi->transport.run = all[0].run;
    return SGP_OK;
}

static sgp_status_t greet(mpi_t *mpi) {
    greeting_t mine = {.run = sgp_clock_now() ^ (uint64_t)getpid() << 32,
                       .chunk_bytes = mpi->transport.chunk_bytes};
    strncpy(mine.version, SGP_VERSION, sizeof mine.version - 1);
    greeting_t *all = calloc((size_t)mpi->transport.size, sizeof *all);
    if (!all)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mpi: no memory to greet %d ranks", mpi->transport.size);
    sgp_mpi_lock();
    int code = mpi->library->binding->gather(mpi->comm, &mine, sizeof mine, all);
    sgp_mpi_unlock();
    sgp_status_t status = code ? sgp_mpi_fail(mpi->library, code, "greeting all nodes")
                               : check_greetings(mpi, &mine, all);
    free(all);
    return status;
}

/* Takes comm, on failure as well. */
static sgp_status_t make(const sgp_mpi_t *library, sgp_mpi_comm_t *comm, size_t chunk_bytes,
                         sgp_transport_t **transport) {
    mpi_t *mpi = calloc(1, sizeof *mpi);
    if (!mpi) return sgp_fail(SGP_ERR_NO_MEMORY, "mpi: no memory for it");
    mpi->transport = (sgp_transport_t){.ops = &mpi_ops, .chunk_bytes = chunk_bytes};
    mpi->library = library;
    mpi->comm = comm;
    mpi->ready_end = &mpi->ready;
    sgp_mpi_count_made();
    int code = library->binding->place(comm, &mpi->transport.rank, &mpi->transport.size);
    mpi->transport.capacity = mpi->transport.size;
    sgp_agent_init(&mpi->agent, mpi->transport.rank);
    sgp_status_t status =
        code ? sgp_mpi_fail(library, code, "the group of processes") : sgp_mpi_requests_init(mpi);
    if (status == SGP_OK) status = greet(mpi);
    if (status == SGP_OK) *transport = &mpi->transport;
    else mpi_destroy(&mpi->transport);
    return status;
}

static sgp_status_t check(const sgp_mpi_options_t *options, const sgp_mpi_t *library) {
    if (options->chunk_bytes % 64 || options->chunk_bytes > (size_t)1 << 30)
        return sgp_fail(SGP_ERR_INVALID,
                        "mpi: chunk_bytes is %zu, must be a multiple of 64 and at most 2^30",
                        options->chunk_bytes);
    if (options->parent && !sgp_mpi_is(options->parent))
        return sgp_fail(SGP_ERR_INVALID, "mpi: the parent is a transport %s, must be mpi",
                        options->parent->ops->name);
    if (!library->state.any_thread && !library->state.main)
        return sgp_fail(SGP_ERR_UNSUPPORTED, "mpi: the program initialised MPI for its main thread "
                                             "alone, and this is another thread");
    return SGP_OK;
}

sgp_status_t sgp_mpi_connect(const sgp_mpi_options_t *options, sgp_transport_t **transport) {
    const sgp_mpi_t *library;
    sgp_mpi_comm_t *comm = NULL, *parent = NULL;
    sgp_status_t status = sgp_mpi_load(&library);
    if (status == SGP_OK) status = check(options, library);
    if (status != SGP_OK) return status;
    if (options->parent) parent = mpi_of(options->parent)->comm;
    sgp_mpi_lock();
    int code = library->binding->create(parent, options->part, options->rank, &comm);
    sgp_mpi_unlock();
    if (code) return sgp_mpi_fail(library, code, "the group of processes");
    if (!comm) return *transport = NULL, SGP_OK;
    size_t chunk_bytes = options->chunk_bytes ? options->chunk_bytes : SGP_CHUNK_BYTES;
    return make(library, comm, chunk_bytes, transport);
}
