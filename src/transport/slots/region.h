/* SPDX-License-Identifier: Apache-2.0 */
/* The shared memory of one rank, a memfd, in parts:
 *
 *   part 0  [control][ring per receiver][returns per receiver][slot heads][slots]
 *   part p  [ring per receiver][returns per receiver][slot heads][slots]
 *
 * A region begins with part 0 and grows by one part at a time, each of which doubles the slots; the
 * offset and size of a part follow from its number. The file is sparse: a page exists once it is
 * written, so a large region costs as much memory as the chunks under way at a time. Others map a
 * part when a ring leads them to it. */
#ifndef SGP_TRANSPORT_SLOTS_REGION_H
#define SGP_TRANSPORT_SLOTS_REGION_H

#include "wire/header.h"

#include <sgp/status.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_REGION_FIRST ((uint32_t)4096) /* slots of part 0, a power of two */
#define SGP_REGION_PARTS 20               /* at most: 2^31 slots */
#define SGP_RING_MOVED   (UINT32_MAX - 1) /* for a slot: the ring continues in another part */

typedef struct sgp_region_control {
    /* A futex, on which the owner sleeps. Others wake it when something has changed for it. */
    _Alignas(64) _Atomic uint32_t doorbell;
    _Atomic uint32_t attends;    /* the owner absorbs chunks as they arrive */
    _Atomic uint32_t sleeping;   /* it is about to sleep, or sleeps, and was not woken yet */
    _Atomic uint32_t paused;     /* it sleeps in keep_close, for a moment */
    _Atomic uint32_t wants_room; /* slots given back are a reason to wake it, once `given_back`
                                    reaches `wake_at` */
    _Atomic uint32_t wake_at;
    _Atomic uint32_t left;    /* the owner has left in order, and receives no more */
    _Atomic uint32_t watched; /* a thread of the owner waits for the next ring (shm/descriptor.h) */
    _Alignas(64) _Atomic uint32_t given_back; /* slots ever given back, by each receiver */
    /* Written by the owner's heartbeat thread, read by those of the others (shm/heartbeat.h). */
    _Alignas(64) _Atomic uint32_t heartbeat; /* counts as long as the owner's process runs */
    _Atomic uint32_t lost;         /* the first loss that the owner knows of, its own if it aborts
                              (sgp_loss_pack), or 0 */
    _Atomic uint32_t hangs;        /* the owner's thread (transport/pace.h) */
    _Atomic uint32_t struck_off;   /* by a rank that goes on without the owner, which may live */
    _Atomic uint64_t step, digest; /* of the owner (sgp_pulse_t) */
} sgp_region_control_t;

typedef struct sgp_region_entry {
    uint32_t slot;
    union {
        uint32_t record; /* the sender's (outstanding.h); the receiver gives it back */
        uint32_t part;   /* SGP_RING_MOVED: where the next entry is */
    };
    double weight; /* the destination's share */
} sgp_region_entry_t;

/* From one sender to one receiver. The rings of a part have twice as many entries as the region
 * then has slots, so that no ring can overflow. */
typedef struct sgp_region_ring {
    _Alignas(64) _Atomic uint32_t tail; /* written by the sender, the region's owner */
    _Alignas(64) _Atomic uint32_t head; /* written by the receiver */
    _Alignas(64) sgp_region_entry_t entries[];
} sgp_region_ring_t;

/* From one receiver back to the sender: the slots of this part that it has released. Each receiver writes to one of its
 * own, so that its death, at whatever moment, takes nothing from others; and an owner that has given a rank up reads no
 * more of it. A rank holds a slot once at a time, so there is room for all that it can give back. */
typedef struct sgp_region_return {
    uint32_t slot, record; /* as in the entry that posted it; record 0: it was dropped */
} sgp_region_return_t;

typedef struct sgp_region_returns {
    _Alignas(64) _Atomic uint32_t tail; /* written by the receiver */
    _Alignas(64) uint32_t head;         /* the owner's alone */
    _Alignas(64) sgp_region_return_t entries[];
} sgp_region_returns_t;

typedef struct sgp_region_slot {
    _Alignas(128) unsigned char header[SGP_HEADER_BYTES];
} sgp_region_slot_t;

typedef struct sgp_region_part {
    void *memory; /* NULL: not mapped here */
    size_t bytes;
    unsigned char *rings;     /* by receiver */
    unsigned char *returns;   /* by receiver */
    sgp_region_slot_t *slots; /* (slots of the part) */
    unsigned char *payloads;  /* (slots of the part, chunk_bytes) */
} sgp_region_part_t;

typedef struct sgp_region {
    int file; /* memfd; -1: none */
    int size; /* ranks: the transport's capacity */
    size_t chunk_bytes;
    sgp_region_control_t *control; /* NULL: there is no region */
    sgp_region_part_t parts[SGP_REGION_PARTS];
    int count; /* parts mapped here, the first ones */
} sgp_region_t;

/* A new region of our own, of part 0. SGP_ERR_SYSTEM (logged). */
sgp_status_t sgp_region_create(int size, size_t chunk_bytes, sgp_region_t *region);

/* Adds a part to our own. SGP_ERR_NO_MEMORY (logged): nothing changed. */
sgp_status_t sgp_region_grow(sgp_region_t *region);

/* Maps another rank's part 0. Takes file on success. SGP_ERR_SYSTEM, SGP_ERR_MISMATCH (logged):
 * nothing changed. */
sgp_status_t sgp_region_map(int file, int size, size_t chunk_bytes, sgp_region_t *region);

/* Maps another rank's parts up to `part`. SGP_ERR_SYSTEM (logged). */
sgp_status_t sgp_region_reach(sgp_region_t *region, uint32_t part);

/* Fine on a zeroed region. */
void sgp_region_unmap(sgp_region_t *region);

/* Slots of the parts before `part`, in all. */
static inline uint32_t sgp_region_slots_before(int part) {
    return part == 0 ? 0 : SGP_REGION_FIRST << (part - 1);
}

/* Slots of one part, a power of two. */
static inline uint32_t sgp_region_slots_of(int part) {
    return sgp_region_slots_before(part + 1) - sgp_region_slots_before(part);
}

/* The part in which a slot lies. */
static inline int sgp_region_part_of(uint32_t slot) {
    int part = 0;
    for (slot /= SGP_REGION_FIRST; slot; slot /= 2) part++;
    return part;
}

static inline sgp_region_slot_t *sgp_region_slot(const sgp_region_t *region, uint32_t slot) {
    int part = sgp_region_part_of(slot);
    return &region->parts[part].slots[slot - sgp_region_slots_before(part)];
}

static inline void *sgp_region_payload(const sgp_region_t *region, uint32_t slot) {
    int part = sgp_region_part_of(slot);
    size_t at = slot - sgp_region_slots_before(part);
    return region->parts[part].payloads + at * region->chunk_bytes;
}

/* Entries of a ring in a part, a power of two. */
static inline uint32_t sgp_region_ring_room(int part) {
    return 2 * sgp_region_slots_before(part + 1);
}

static inline size_t sgp_region_ring_bytes(int part) {
    return sizeof(sgp_region_ring_t) + sgp_region_ring_room(part) * sizeof(sgp_region_entry_t);
}

static inline sgp_region_ring_t *sgp_region_ring(const sgp_region_t *region, int part, int rank) {
    unsigned char *rings = region->parts[part].rings;
    return (sgp_region_ring_t *)(void *)(rings + (size_t)rank * sgp_region_ring_bytes(part));
}

static inline size_t sgp_region_returns_bytes(int part) {
    return sizeof(sgp_region_returns_t) + sgp_region_slots_of(part) * sizeof(sgp_region_return_t);
}

static inline sgp_region_returns_t *sgp_region_returns(const sgp_region_t *region, int part,
                                                       int rank) {
    unsigned char *returns = region->parts[part].returns;
    return (sgp_region_returns_t *)(void *)(returns +
                                            (size_t)rank * sgp_region_returns_bytes(part));
}

/* Puts an entry into our ring to a rank. The caller wakes the receiver. */
void sgp_region_post(sgp_region_t *region, int rank, const sgp_region_entry_t *entry);

/* Wakes the owner if it sleeps, or has the doorbell watched. Call after the change is visible. */
void sgp_region_ring_doorbell(sgp_region_t *region);

/* Changes the doorbell and wakes all that sleep on it. */
void sgp_region_wake(sgp_region_t *region);

/* Sleeps until the doorbell differs from `seen`, at most timeout_ns. Spurious returns are possible.
 */
void sgp_region_sleep(sgp_region_t *region, uint32_t seen, uint64_t timeout_ns);

/* `rank` gives a slot back to the owner. One thread at a time for each rank: a thread of its own, or, where it is not
 * local, one of the owner's process. */
void sgp_region_give_back(sgp_region_t *region, int rank, uint32_t slot, uint32_t record);

#endif
