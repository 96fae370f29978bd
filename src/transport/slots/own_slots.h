/* SPDX-License-Identifier: Apache-2.0 */
/* The slots of a rank's own memory (region.h), as the rank itself keeps count of them: which are free, and which ranks
 * hold the others. Called by slots.c and tcp.c in the thread that makes the transport's calls; nothing here is shared with
 * another process, so a rank that dies leaves no count half changed.
 *
 * A slot is free, or taken to be written, or sealed: then it has one reference for each rank that it is posted to, and
 * one more until all are told. A receiver gives a slot back through its ring `returns` (region.h), and collect drops the
 * reference. Whatever a receiver writes there, it can drop its own reference alone, and once. */
#ifndef SGP_TRANSPORT_SLOTS_OWN_SLOTS_H
#define SGP_TRANSPORT_SLOTS_OWN_SLOTS_H

#include "transport/slots/region.h"
#include "transport/transport.h"

/* Embedded. The owner may read it; only the calls below write it. */
typedef struct sgp_own_slots {
    int size;         /* ranks */
    uint32_t room;    /* slots for which there is memory here */
    uint32_t created; /* slots ever used: the number of the next new one */
    uint32_t *free;   /* (room) a stack: the slot used last is still in the cache */
    uint32_t free_count;
    uint32_t *references; /* (room) */
    uint32_t *holders;    /* (room, words) a bit for each rank that has not given it back */
    uint32_t words;
    uint32_t *posted; /* (size) slots that each rank holds */
    uint32_t seen;    /* of control->given_back, at the last collect */
} sgp_own_slots_t;

/* false: no memory; sgp_own_slots_fini is due in every case. */
bool sgp_own_slots_init(sgp_own_slots_t *own, int size);
void sgp_own_slots_fini(sgp_own_slots_t *own);

/* Memory for so many slots. false: there is none, and nothing has changed. */
bool sgp_own_slots_reserve(sgp_own_slots_t *own, uint64_t slots);

/* A free slot, or a new one, for which memory was reserved. put: it was taken, and not sealed. */
uint32_t sgp_own_slots_take(sgp_own_slots_t *own);
void sgp_own_slots_put(sgp_own_slots_t *own, uint32_t slot);

/* The slot is written: so many references. hold: one of them is the rank's, which is not among its holders. drop: one
 * of them, that is no rank's, ends. The last one frees the slot. */
void sgp_own_slots_seal(sgp_own_slots_t *own, uint32_t slot, uint32_t references);
void sgp_own_slots_hold(sgp_own_slots_t *own, uint32_t slot, int rank);
void sgp_own_slots_drop(sgp_own_slots_t *own, uint32_t slot);

/* Slots were given back since the last collect. */
static inline bool sgp_own_slots_returned(const sgp_own_slots_t *own, const sgp_region_t *region) {
    return atomic_load(&region->control->given_back) != own->seen;
}

/* Takes the slots that were given back; transport: whose books (outstanding.h) count the chunks released. */
void sgp_own_slots_collect(sgp_own_slots_t *own, sgp_region_t *region, sgp_transport_t *transport);

/* Drops the references of a rank that gives nothing back any more. Slots that it had given back were collected. */
void sgp_own_slots_forget(sgp_own_slots_t *own, int rank);

#endif
