/* SPDX-License-Identifier: Apache-2.0 */
/* Room. A sender's slot comes back when all receivers have released the chunk: each names the slots it
 * gives back in a small message. So what a receiver holds is bounded by what its senders have prepared,
 * and it takes in whatever has arrived, into slots that it adds as it needs them: it never refuses a chunk
 * for lack of a slot, whichever steps the ones belong to that it holds. So two that hold much of each other's
 * cannot wait for each other.
 *
 * Leaving. The last message of a rank to another says that it is that. A rank that leaves sends it to
 * all; whoever gets it sends nothing more there but its own last message. MPI keeps messages of one
 * rank in order, so whoever has the last messages of all has received everything, and nobody has to
 * wait until the others leave as well.
 *
 * Waiting. MPI has no call that sleeps until something arrives, so a rank looks, sleeps for a part of
 * the time that it has waited already, at most MOST_SLEEP_NS, and looks again. */
#include "transport/mpi/mpi.h"

#include "base/constants.h"
#include "base/clock.h"
#include "base/logging.h"
#include "transport/agent.h"
#include "transport/mpi/mpi_load.h"
#include "transport/mpi/mpi_slots.h"

#include <assert.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Measured: docs/results.md. */
#define YIELD_NS       200000u /* a wait begins with looking and yielding */
#define LEAST_SLEEP_NS 10000u
#define MOST_SLEEP_NS  200000u
#define SLEEP_SHARE    8 /* of the wait so far */
#define RECEIVES       4 /* chunks that are being received at a time */
#define SLOTS_AT_ONCE  16
#define CREDITS        64 /* slots that one message gives back */

enum { TAG_CHUNK = 1, TAG_CREDITS, TAG_LAST };

typedef struct peer {
    sgp_mpi_cookie_t cookie;  /* first: of `given` and of the last message, SGP_MPI_CONTROL */
    bool sending;             /* `given` is under way */
    bool has_left;            /* its last message is here */
    bool last_sent;           /* our last message to it has been sent */
    sgp_mpi_slot_t *released; /* what it is to be told of */
    uint32_t given[CREDITS];
} peer_t;

typedef struct mpi {
    sgp_transport_t transport; /* first: a transport is an mpi */
    const sgp_mpi_t *library;
    sgp_mpi_comm_t *comm;
    sgp_agent_t agent;
    atomic_bool poked; /* the agent is to return from wait */
    bool has_failed;
    bool left;       /* in order */
    peer_t *peers;   /* (size); our own entry unused */
    int peers_left;  /* whose last message is here */
    int to_tell;     /* peers with something released */
    double *weights; /* (size) of the chunk being sent */
    sgp_mpi_slots_t sent, received;
    uint32_t reserved; /* free slots promised to messages begun */
    uint32_t wanted;   /* slots, by a sender that was told to come again; 0: none */
    int receiving;     /* chunks on their way into slots */
    sgp_mpi_slot_t *ready, **ready_end; /* that have arrived, in order */
} mpi_t;

static mpi_t *mpi_of(sgp_transport_t *transport) {
    return (mpi_t *)transport;
}

static uint64_t mpi_now(sgp_transport_t *transport) {
    (void)transport;
    return sgp_clock_now();
}

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

static uint32_t room(const mpi_t *mpi) {
    return mpi->sent.free_count - mpi->reserved;
}

static void drop(mpi_t *mpi, sgp_mpi_slot_t *slot) {
    assert(slot->references > 0);
    if (--slot->references == 0) sgp_mpi_slots_give(&mpi->sent, slot);
}

/* `rank` needs the slot no more. */
static void given_back(mpi_t *mpi, uint32_t id, int rank) {
    sgp_mpi_slot_t *slot = id < mpi->sent.count ? mpi->sent.all[id] : NULL;
    if (!slot || !slot->awaits[rank]) return;
    slot->awaits[rank] = false;
    drop(mpi, slot);
}

/* Slots stay when a promise is taken back, for the next one. */
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

/* ---- progress ---- */

/* A small message from memory of the peer's. */
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
    if (peer->released) mpi->to_tell--;
    peer->released = NULL;
}

static void send_last(mpi_t *mpi, int rank) {
    peer_t *peer = &mpi->peers[rank];
    if (peer->last_sent) return;
    peer->last_sent = true;
    forget_released(mpi, peer);
    send_control(mpi, rank, TAG_LAST, NULL, 0);
}

/* Tells a peer which of its slots we have released. */
static void tell(mpi_t *mpi, int rank) {
    peer_t *peer = &mpi->peers[rank];
    size_t count = 0;
    while (peer->released && count < CREDITS) {
        sgp_mpi_slot_t *slot = peer->released;
        peer->released = slot->next;
        peer->given[count++] = slot->theirs;
        sgp_mpi_slots_give(&mpi->received, slot);
    }
    if (!peer->released) mpi->to_tell--;
    peer->sending = true;
    send_control(mpi, rank, TAG_CREDITS, peer->given, count * sizeof *peer->given);
}

static void tell_peers(mpi_t *mpi) {
    for (int r = 0; mpi->to_tell > 0 && r < mpi->transport.size; r++)
        if (mpi->peers[r].released && !mpi->peers[r].sending) tell(mpi, r);
}

/* What a message in a slot means, once it is here. */
static void arrived(mpi_t *mpi, sgp_mpi_slot_t *slot) {
    peer_t *peer = &mpi->peers[slot->src];
    mpi->receiving--;
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
        given_back(mpi, id, slot->src);
    }
    if (slot->tag == TAG_LAST && !peer->has_left) {
        peer->has_left = true;
        mpi->peers_left++;
        sgp_transport_note(&mpi->transport, slot->src, sgp_fate_left(), NULL);
        for (uint32_t s = 0; s < mpi->sent.count; s++) given_back(mpi, s, slot->src);
        send_last(mpi, slot->src);
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
            drop(mpi, cookies[i]);
            break;
        case SGP_MPI_RECEIVED:
            arrived(mpi, cookies[i]);
            break;
        case SGP_MPI_CONTROL:
            ((peer_t *)cookies[i])->sending = false;
            break;
        }
}

/* Into a slot, where it stays. One that is too long is not from one of us: MPI cuts it off and says so. */
static void begin_receive(mpi_t *mpi, sgp_mpi_message_t *message) {
    sgp_mpi_slot_t *slot = sgp_mpi_slots_take(&mpi->received);
    size_t most = mpi->received.front + mpi->received.chunk_bytes;
    if (message->bytes > most) message->bytes = most;
    slot->src = message->src;
    slot->tag = message->tag;
    slot->bytes = message->bytes;
    int code = mpi->library->binding->receive(mpi->comm, message, slot->memory, slot);
    if (!code) mpi->receiving++;
    else fail(mpi, code, "a message from", message->src);
}

/* A few at a time: the first ones are to be whole soon. Without memory for a slot the message stays with
 * MPI, and is tried again. */
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

/* All that can be done without waiting. */
static void progress(mpi_t *mpi) {
    if (mpi->has_failed) return;
    sgp_mpi_lock();
    begin_receives(mpi);
    end_requests(mpi);
    tell_peers(mpi);
    sgp_mpi_unlock();
}

/* ---- sending ---- */

static bool is_there_room(mpi_t *mpi, uint32_t chunks) {
    if (room(mpi) < chunks) progress(mpi);
    return room(mpi) >= chunks;
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

static void *mpi_send_next(sgp_transport_t *transport, sgp_send_t *send) {
    mpi_t *mpi = mpi_of(transport);
    if (!sgp_send_advance(transport, send)) return NULL;
    sgp_mpi_slot_t *slot = sgp_mpi_slots_take(&mpi->sent);
    mpi->reserved--;
    send->slot = slot;
    return slot->memory + mpi->sent.front;
}

/* By rank; NULL: all destinations have the same. */
static const double *weights_of(mpi_t *mpi, const sgp_send_t *send) {
    bool differ = false;
    for (int i = 1; i < send->destinations; i++) differ |= send->to[i].weight != send->to[0].weight;
    for (int i = 0; differ && i < send->destinations; i++)
        mpi->weights[send->to[i].dst] = send->to[i].weight;
    return differ ? mpi->weights : NULL;
}

/* To a rank that has left nothing is sent. */
static void post(mpi_t *mpi, sgp_mpi_slot_t *slot, const unsigned char *begin, int dst) {
    if (mpi->peers[dst].last_sent || mpi->has_failed) return;
    int code = mpi->library->binding->send(mpi->comm, begin, slot->bytes, dst, TAG_CHUNK, slot);
    if (code) {
        fail(mpi, code, "a message to", dst);
        return;
    }
    slot->awaits[dst] = true;
    slot->references += 2; /* the request, and the receiver */
}

static void mpi_send_commit(sgp_transport_t *transport, sgp_send_t *send) {
    mpi_t *mpi = mpi_of(transport);
    sgp_mpi_slot_t *slot = send->slot;
    sgp_header_t header = send->header;
    if (send->destinations > 0) header.weight = send->to[0].weight;
    const unsigned char *begin =
        sgp_mpi_slot_seal(&mpi->sent, slot, &header, weights_of(mpi, send));
    slot->references = 1; /* ours, until all are posted */
    sgp_mpi_lock();
    for (int i = 0; i < send->destinations; i++) post(mpi, slot, begin, send->to[i].dst);
    sgp_mpi_unlock();
    drop(mpi, slot);
}

/* ---- receiving ---- */

static void give_back(mpi_t *mpi, sgp_mpi_slot_t *slot) {
    peer_t *peer = &mpi->peers[slot->src];
    if (peer->last_sent) {
        sgp_mpi_slots_give(&mpi->received, slot);
        return;
    }
    if (!peer->released) mpi->to_tell++;
    slot->next = peer->released;
    peer->released = slot;
}

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
    size_t bytes = chunk->header.elements * sgp_encoding_size(chunk->header.encoding);
    if (chunk->header.src != slot->src || payload + bytes != slot->memory + slot->bytes)
        return SGP_ERR_REFUSED;
    if (weight != 0 && !is_weight(weight)) return SGP_ERR_REFUSED;
    if (weight != 0) chunk->header.weight = weight;
    chunk->payload = payload;
    chunk->slot = slot;
    return SGP_OK;
}

static sgp_mpi_slot_t *take_ready(mpi_t *mpi) {
    sgp_mpi_slot_t *slot = mpi->ready;
    if (!slot) return NULL;
    mpi->ready = slot->next;
    if (!mpi->ready) mpi->ready_end = &mpi->ready;
    return slot;
}

static sgp_status_t mpi_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    mpi_t *mpi = mpi_of(transport);
    if (!mpi->ready) progress(mpi);
    for (sgp_mpi_slot_t *slot; (slot = take_ready(mpi));) {
        if (open_chunk(mpi, slot, chunk) == SGP_OK) return SGP_OK;
        give_back(mpi, slot);
    }
    return SGP_ERR_AGAIN;
}

static void mpi_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    give_back(mpi_of(transport), chunk->slot);
    chunk->slot = NULL;
}

/* ---- waiting ---- */

/* Between two looks of a wait that began at `start`. */
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
    return mpi->wanted && room(mpi) >= mpi->wanted;
}

static sgp_status_t mpi_wait(sgp_transport_t *transport, uint64_t deadline) {
    mpi_t *mpi = mpi_of(transport);
    uint64_t start = sgp_clock_now();
    for (;;) {
        progress(mpi);
        if (worth_waking(mpi)) return SGP_OK;
        if (mpi->has_failed) return SGP_ERR_PEER_LOST;
        if (sgp_clock_now() >= deadline) return SGP_ERR_TIMEOUT;
        rest(start, deadline);
    }
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
                    "mpi: MPI was initialised for calls of one thread alone, and what works at "
                    "messages beside the computation needs MPI_THREAD_SERIALIZED");
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
    if (sgp_agent_signal(&mpi->agent)) atomic_store(&mpi->poked, true); /* seen at its next look */
}

/* ---- the end ---- */

static void discard_ready(mpi_t *mpi) {
    for (sgp_mpi_slot_t *slot; (slot = take_ready(mpi));) give_back(mpi, slot);
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
        if (r != transport->rank) send_last(mpi, r);
    sgp_mpi_unlock();
    for (;;) {
        progress(mpi);
        discard_ready(mpi);
        mpi->left = is_over(mpi);
        if (mpi->left || mpi->has_failed || sgp_clock_now() >= deadline) return;
        rest(start, deadline);
    }
}

/* Where it was not left in order MPI may still use its memory. */
static void mpi_destroy(sgp_transport_t *transport) {
    mpi_t *mpi = mpi_of(transport);
    bool pending = mpi->comm && mpi->library->binding->pending(mpi->comm) > 0;
    if (mpi->comm && mpi->left) {
        sgp_mpi_lock();
        mpi->library->binding->destroy(mpi->comm);
        sgp_mpi_unlock();
        sgp_mpi_count_left();
    }
    sgp_mpi_slots_fini(&mpi->sent, pending);
    sgp_mpi_slots_fini(&mpi->received, pending);
    sgp_agent_fini(&mpi->agent);
    sgp_fates_destroy(mpi->transport.fates);
    free(mpi->weights);
    if (!pending) free(mpi->peers);
    free(mpi);
}

static const sgp_transport_ops_t mpi_ops = {
    .name = "mpi",
    .now = mpi_now,
    .wait = mpi_wait,
    .prepare = mpi_prepare,
    .unprepare = mpi_unprepare,
    .send_begin = mpi_send_begin,
    .send_next = mpi_send_next,
    .send_commit = mpi_send_commit,
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

/* What each rank tells all before anything else. */
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

static sgp_status_t allocate(mpi_t *mpi) {
    size_t size = (size_t)mpi->transport.size;
    mpi->peers = calloc(size, sizeof *mpi->peers);
    mpi->weights = calloc(size, sizeof *mpi->weights);
    if (!mpi->peers || !mpi->weights ||
        sgp_fates_create((int)size, &mpi->transport.fates) != SGP_OK)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mpi: no memory to connect %zu ranks", size);
    for (size_t r = 0; r < size; r++) mpi->peers[r].cookie = SGP_MPI_CONTROL;
    sgp_mpi_slots_init(&mpi->sent, SGP_MPI_SENT, (int)size, mpi->transport.chunk_bytes);
    sgp_mpi_slots_init(&mpi->received, SGP_MPI_RECEIVED, (int)size, mpi->transport.chunk_bytes);
    if (sgp_mpi_slots_add(&mpi->received, SLOTS_AT_ONCE)) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "mpi: no memory to receive");
}

/* comm: taken in every case. */
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
    sgp_agent_init(&mpi->agent, mpi->transport.rank);
    sgp_status_t status =
        code ? sgp_mpi_fail(library, code, "the group of processes") : allocate(mpi);
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
        return sgp_fail(SGP_ERR_INVALID, "mpi: a part of a transport that is %s",
                        options->parent->ops->name);
    if (!library->state.any_thread && !library->state.main)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "mpi: MPI was initialised for calls of its main thread alone");
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
