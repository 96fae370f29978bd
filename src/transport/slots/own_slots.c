/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/slots/own_slots.h"

#include "transport/outstanding.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

/* Makes the array larger; the new part is zeroed. false: no memory, and it is as it was. */
static bool grow(uint32_t **array, size_t old, size_t wanted) {
    uint32_t *grown = realloc(*array, wanted * sizeof *grown);
    if (!grown) return false;
    memset(grown + old, 0, (wanted - old) * sizeof *grown);
    *array = grown;
    return true;
}

bool sgp_own_slots_reserve(sgp_own_slots_t *own, uint64_t slots) {
    size_t old = own->room, wanted = (size_t)slots;
    if (wanted <= old) return true;
    if (!grow(&own->free, old, wanted) || !grow(&own->references, old, wanted) ||
        !grow(&own->holders, old * own->words, wanted * own->words))
        return false;
    own->room = (uint32_t)wanted;
    return true;
}

bool sgp_own_slots_init(sgp_own_slots_t *own, int size) {
    *own = (sgp_own_slots_t){.size = size, .words = ((uint32_t)size + 31) / 32};
    own->posted = calloc((size_t)size, sizeof *own->posted);
    return own->posted && sgp_own_slots_reserve(own, SGP_REGION_FIRST);
}

void sgp_own_slots_fini(sgp_own_slots_t *own) {
    free(own->free);
    free(own->references);
    free(own->holders);
    free(own->posted);
}

/* ---- taking and dropping ---- */

uint32_t sgp_own_slots_take(sgp_own_slots_t *own) {
    return own->free_count ? own->free[--own->free_count] : own->created++;
}

void sgp_own_slots_put(sgp_own_slots_t *own, uint32_t slot) {
    own->free[own->free_count++] = slot;
}

void sgp_own_slots_seal(sgp_own_slots_t *own, uint32_t slot, uint32_t references) {
    own->references[slot] = references;
}

void sgp_own_slots_drop(sgp_own_slots_t *own, uint32_t slot) {
    if (--own->references[slot] == 0) sgp_own_slots_put(own, slot);
}

static uint32_t *word_of(sgp_own_slots_t *own, uint32_t slot, int rank) {
    return &own->holders[(size_t)slot * own->words + (size_t)rank / 32];
}

void sgp_own_slots_hold(sgp_own_slots_t *own, uint32_t slot, int rank) {
    *word_of(own, slot, rank) |= UINT32_C(1) << rank % 32;
    own->posted[rank]++;
}

/* Drops the rank's reference. false: it has none. */
static bool end_hold(sgp_own_slots_t *own, uint32_t slot, int rank) {
    uint32_t *word = word_of(own, slot, rank), bit = UINT32_C(1) << rank % 32;
    if (!(*word & bit)) return false;
    *word &= ~bit;
    own->posted[rank]--;
    sgp_own_slots_drop(own, slot);
    return true;
}

/* ---- giving back ---- */

static void collect_from(sgp_own_slots_t *own, sgp_region_returns_t *returns, uint32_t room,
                         int rank, sgp_transport_t *transport) {
    uint32_t tail = atomic_load_explicit(&returns->tail, memory_order_acquire);
    for (; returns->head != tail; returns->head++) {
        sgp_region_return_t entry = returns->entries[returns->head % room];
        if (entry.slot < own->created && end_hold(own, entry.slot, rank))
            sgp_outstanding_released(transport, entry.record, rank);
    }
}

/* A chunk given back during the call is seen by this one or the next. */
void sgp_own_slots_collect(sgp_own_slots_t *own, sgp_region_t *region, sgp_transport_t *transport) {
    own->seen = atomic_load(&region->control->given_back);
    for (int r = 0; r < own->size; r++)
        for (int part = 0; own->posted[r] && part < region->count; part++)
            collect_from(own, sgp_region_returns(region, part, r), sgp_region_slots_of(part), r,
                         transport);
}

void sgp_own_slots_forget(sgp_own_slots_t *own, int rank) {
    for (uint32_t slot = 0; slot < own->created && own->posted[rank]; slot++)
        end_hold(own, slot, rank);
}
