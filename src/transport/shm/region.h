/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of one rank, as it lies in its memfd: [control][ring per receiver][slot heads][slots].
 *
 * The file is sparse: a page exists once it is written, so a large region costs only what is under
 * way at a time. */
#ifndef SGP_TRANSPORT_SHM_REGION_H
#define SGP_TRANSPORT_SHM_REGION_H

#include "wire/header.h"

#include <sgp/status.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_REGION_SLOTS                                                                           \
    65536u /* a power of two; also the room of each ring, so that no ring can run over */
#define SGP_NO_SLOT UINT32_MAX

typedef struct sgp_region_control {
    /* Rung by others when something changed for the owner of the region and the owner sleeps. A
     * futex. */
    _Alignas(64) _Atomic uint32_t doorbell;
    _Atomic uint32_t attends;    /* the owner is at its messages */
    _Atomic uint32_t sleeping;   /* it is about to sleep, or sleeps, and was not woken yet */
    _Atomic uint32_t paused;     /* it sleeps in keep_close, and goes on soon */
    _Atomic uint32_t wants_room; /* slots given back are a reason to wake it, once `given_back`
                                    reaches `wake_at` */
    _Atomic uint32_t wake_at;
    _Atomic uint32_t left; /* the owner has left in order, and receives no more */
    /* Slots given back, a stack linked by the slots' heads: pushed by receivers, taken as a whole
     * by the owner. */
    _Alignas(64) _Atomic uint32_t returned;
    _Atomic uint32_t given_back; /* slots ever given back */
    /* What the owner's pulse thread says to those of the others (pulse.h). */
    _Alignas(64) _Atomic uint32_t pulse; /* counts as long as the owner's process runs */
    _Atomic uint32_t lost; /* the first loss that the owner knows of (sgp_loss_pack), or 0 */
} sgp_region_control_t;

typedef struct sgp_region_entry {
    uint32_t slot;
    uint32_t reserved;
    double weight; /* the destination's share */
} sgp_region_entry_t;

/* One sender and one receiver. */
typedef struct sgp_region_ring {
    _Alignas(64) _Atomic uint32_t tail; /* written by the sender, the region's owner */
    _Alignas(64) _Atomic uint32_t head; /* written by the receiver */
    _Alignas(64) sgp_region_entry_t entries[SGP_REGION_SLOTS];
} sgp_region_ring_t;

typedef struct sgp_region_slot {
    _Alignas(128) _Atomic uint32_t references; /* receivers that have not given it back */
    uint32_t next;                             /* in `returned` */
    unsigned char header[SGP_HEADER_BYTES];
} sgp_region_slot_t;

typedef struct sgp_region {
    int file; /* memfd, -1 once not needed */
    void *memory;
    size_t bytes;
    sgp_region_control_t *control;
    sgp_region_ring_t *rings; /* (size) by receiver */
    sgp_region_slot_t *slots; /* (SGP_REGION_SLOTS) */
    unsigned char *payloads;  /* (SGP_REGION_SLOTS, chunk_bytes) */
    size_t chunk_bytes;
} sgp_region_t;

/* A new region of our own. SGP_ERR_SYSTEM (logged). */
sgp_status_t sgp_region_create(int size, size_t chunk_bytes, sgp_region_t *region);

/* Maps another rank's. Takes file on success. SGP_ERR_SYSTEM, SGP_ERR_MISMATCH (logged): nothing
 * changed. */
sgp_status_t sgp_region_map(int file, int size, size_t chunk_bytes, sgp_region_t *region);

/* Fine on a zeroed region. */
void sgp_region_unmap(sgp_region_t *region);

static inline void *sgp_region_payload(const sgp_region_t *region, uint32_t slot) {
    return region->payloads + (size_t)slot * region->chunk_bytes;
}

/* Wakes the owner if it sleeps. Call after the change is visible. */
void sgp_region_ring_doorbell(sgp_region_t *region);

/* Sleeps until the doorbell differs from `seen`, at most timeout_ns. Spurious returns are possible.
 */
void sgp_region_sleep(sgp_region_t *region, uint32_t seen, uint64_t timeout_ns);

/* Drops one reference; the last one gives the slot back to the owner. */
void sgp_region_drop(sgp_region_t *region, uint32_t slot);

#endif
