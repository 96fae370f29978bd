/* SPDX-License-Identifier: Apache-2.0 */
/* The chunk store that the transports shm and tcp share. A rank writes each chunk that it sends
 * into a slot of its own memory (region.h), where all receivers read it. Local ranks map that
 * memory, and find the slot's number in a ring; the transport carries the chunk to all others.
 *
 * Called by transport/shm and transport/tcp. It must never open a socket or start a thread, and
 * knows no way to reach a rank but shared memory.
 *
 * A transport embeds sgp_slots_t as its first member and completes the table of
 * sgp_transport_ops_t. A function below with the name of a call in that table implements that call
 * for local ranks, under the contract of transport.h. */
#ifndef SGP_TRANSPORT_SLOTS_SLOTS_H
#define SGP_TRANSPORT_SLOTS_SLOTS_H

#include "transport/agent.h"
#include "transport/slots/own_slots.h"
#include "transport/slots/region.h"
#include "transport/slots/stores.h"
#include "transport/transport.h"

/* Another rank, as its memory is mapped here. */
typedef struct sgp_slots_peer {
    sgp_region_t region; /* region.control NULL: it is not local */
    int ring;            /* the part in which its ring to this rank continues */
    bool gone;           /* an elastic transport has given it up: nothing is posted to it */
    bool
        retired; /* and its seat has gone to another, which is not local; the memory stays for the chunks of it
                            that are held */
} sgp_slots_peer_t;

/* Embedded. The transport sets `note`, and the rendezvous fills `peers`; all else is written by
 * slots.c. */
typedef struct sgp_slots {
    sgp_transport_t transport; /* first: a transport is its slots */
    sgp_region_t own;
    sgp_slots_peer_t *peers; /* (capacity); this rank's own entry is unused */

    /* The loss or departure of a local rank. Any thread; the default is sgp_slots_note. */
    void (*note)(void *slots, int rank, sgp_fate_t fate, const char *why);

    sgp_agent_t agent;
    atomic_bool poked;     /* wait has to return: for a signal, or as a rank has ended */
    atomic_uint elsewhere; /* chunks that arrived outside the rings, and were not received */
    int next_peer;         /* where receive looks first */
    sgp_own_slots_t own_slots;
    uint32_t reserved; /* promised to messages begun, and not taken yet */
    uint32_t settled;  /* changes of the fates that were acted on, if it is elastic */
    sgp_stores_t stores;
} sgp_slots_t;

typedef struct sgp_slots_options {
    const sgp_transport_ops_t *ops; /* borrowed */
    int rank, size;
    int capacity;         /* 0: size */
    uint32_t incarnation; /* of this rank */
    const sgp_seat_t
        *seats; /* (capacity) for a newcomer: the others; NULL: the first `size` are there */
    uint64_t run;
    size_t chunk_bytes; /* 0: the default */
} sgp_slots_options_t;

/* SGP_ERR_INVALID (a value out of range), SGP_ERR_SYSTEM, SGP_ERR_NO_MEMORY; all logged.
 * sgp_slots_fini is due in every case. slots: zeroed. */
sgp_status_t sgp_slots_init(sgp_slots_t *slots, const sgp_slots_options_t *options);
void sgp_slots_fini(sgp_slots_t *slots);

static inline bool sgp_slots_is_local(const sgp_slots_t *slots, int rank) {
    return slots->peers[rank].region.control != NULL && !slots->peers[rank].retired;
}

/* Whether a chunk that was received lies in the memory of a local rank, which may be gone: newcomers are not local. */
static inline bool sgp_slots_is_of_local(const sgp_slots_t *slots, const sgp_chunk_t *chunk) {
    return slots->peers[chunk->header.src].region.control != NULL && chunk->header.incarnation == 0;
}

/* Records the fate of any rank, and wakes this one. A loss is written to this rank's memory first,
 * so that its own end, if it follows, is not taken for a cause. Any thread. */
void sgp_slots_note(void *slots, int rank, sgp_fate_t fate, const char *why);

/* A reason to call a rank silent holds now, or no more. Any thread. */
void sgp_slots_note_silence(void *slots, int rank, sgp_silence_t reason, bool holds);

/* Tells a local rank, which may live, that this one goes on without it: its heartbeat notes that as its own loss. Any
 * thread. */
void sgp_slots_strike_off(sgp_slots_t *slots, int rank);

/* Notes this rank's own loss if a local one has done so: others that go on without it tell it nothing more, and their slots, from
 * which it reads, may have new contents. Any thread. */
void sgp_slots_look_at_self(sgp_transport_t *transport);

/* This rank itself has been silent. Any thread. */
void sgp_slots_note_absence(void *slots, uint64_t length);

/* Makes wait return, the one that sleeps or the next one. Any thread. */
void sgp_slots_poke(sgp_slots_t *slots);

/* ---- newcomers, which are never local ---- */

/* open of transport.h: before and after the transport has let go of the earlier member and let the newcomer in, with
 * sgp_fates_open. begin: the errors of open, after which nothing has changed. */
sgp_status_t sgp_slots_open_begin(sgp_slots_t *slots, int seat, uint32_t incarnation);
void sgp_slots_open_end(sgp_slots_t *slots, int seat);

/* ---- sending ---- */

sgp_status_t sgp_slots_prepare(sgp_transport_t *transport, size_t bytes, unsigned messages);
void sgp_slots_unprepare(sgp_transport_t *transport, size_t bytes, unsigned messages);
sgp_status_t sgp_slots_send_begin(sgp_transport_t *transport, const sgp_header_t *header,
                                  const sgp_destination_t *to, int destinations, sgp_send_t *send);
void *sgp_slots_send_next(sgp_transport_t *transport, sgp_send_t *send);
void *sgp_slots_send_chunk(sgp_transport_t *transport, sgp_send_t *send, uint64_t index);
void sgp_slots_send_commit(sgp_transport_t *transport, sgp_send_t *send);
void sgp_slots_send_abandon(sgp_transport_t *transport, sgp_send_t *send);
bool sgp_slots_take_back(sgp_transport_t *transport, uint32_t channel, sgp_returned_t *returned);
bool sgp_slots_keep_close(sgp_transport_t *transport, sgp_send_t *send);
void sgp_slots_attend(sgp_transport_t *transport, bool attends);

/* Commits a chunk, for a transport that also carries chunks otherwise: it is written; local destinations are told, and
 * for each other one carry(slots, send, slot, to, record) is called. It returns false if the chunk is dropped; otherwise
 * the destination holds the slot until it is given back. record: outstanding.h. Returns whether one was carried. */
typedef bool (*sgp_slots_carry_fn)(sgp_slots_t *slots, const sgp_send_t *send, uint32_t slot,
                                   const sgp_destination_t *to, uint32_t record);
bool sgp_slots_commit(sgp_slots_t *slots, sgp_send_t *send, sgp_slots_carry_fn carry);

/* A destination that is not local has released the slot, or is gone and the chunk is dropped (record 0). By one thread,
 * which may be another than the owner's. */
static inline void sgp_slots_give_back(sgp_slots_t *slots, int dst, uint32_t slot,
                                       uint32_t record) {
    sgp_region_give_back(&slots->own, dst, slot, record);
}

/* ---- receiving and waiting ---- */

sgp_status_t sgp_slots_receive(sgp_transport_t *transport, sgp_chunk_t *chunk);
void sgp_slots_release(sgp_transport_t *transport, sgp_chunk_t *chunk);
uint64_t sgp_slots_now(sgp_transport_t *transport);
sgp_status_t sgp_slots_wait(sgp_transport_t *transport, uint64_t deadline);

/* A chunk arrived outside the rings, by any thread; and one such chunk was received. */
void sgp_slots_arrived_elsewhere(sgp_slots_t *slots);
void sgp_slots_received_elsewhere(sgp_slots_t *slots);

sgp_status_t sgp_slots_agent_start(sgp_transport_t *transport, void (*body)(void *context),
                                   void *context);
void sgp_slots_agent_join(sgp_transport_t *transport);
void sgp_slots_lock(sgp_transport_t *transport);
void sgp_slots_unlock(sgp_transport_t *transport);
void sgp_slots_pause(sgp_transport_t *transport, uint64_t deadline);
void sgp_slots_signal(sgp_transport_t *transport);

/* The others find this rank's own loss in its memory. */
void sgp_slots_abort(sgp_transport_t *transport);

/* Never blocks: posted chunks stay readable for all who map this rank's memory. */
void sgp_slots_leave(sgp_transport_t *transport, uint64_t deadline);

#endif
