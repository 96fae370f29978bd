/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/mpi/mpi_slots.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Slots that were added together. */
typedef struct sgp_mpi_block {
    struct sgp_mpi_block *next;
    unsigned char *memory;
    bool *awaits;
    sgp_mpi_slot_t slots[];
} block_t;

_Static_assert(SGP_HEADER_BYTES + 8 <= SGP_MPI_FRONT, "header, slot and table's mark fit");

static size_t padded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

size_t sgp_mpi_front(int size, bool table) {
    return SGP_MPI_FRONT + (table ? padded((size_t)size * sizeof(double)) : 0);
}

void sgp_mpi_slots_init(sgp_mpi_slots_t *slots, sgp_mpi_cookie_t cookie, int size,
                        size_t chunk_bytes) {
    *slots = (sgp_mpi_slots_t){.cookie = cookie,
                               .size = size,
                               .front = sgp_mpi_front(size, true),
                               .chunk_bytes = chunk_bytes};
}

static void free_block(block_t *block, bool forget) {
    if (!block) return;
    if (!forget) sgp_memory_free(block->memory);
    free(block->awaits);
    free(block);
}

void sgp_mpi_slots_fini(sgp_mpi_slots_t *slots, bool forget) {
    for (block_t *next, *at = slots->blocks; at; at = next) {
        next = at->next;
        free_block(at, forget);
    }
    free(slots->all);
    *slots = (sgp_mpi_slots_t){.count = 0};
}

static block_t *make_block(const sgp_mpi_slots_t *slots, uint32_t more, size_t stride) {
    block_t *block = calloc(1, sizeof *block + more * sizeof(sgp_mpi_slot_t));
    if (!block) return NULL;
    block->memory = sgp_memory_alloc(more * stride);
    block->awaits = calloc((size_t)more * (size_t)slots->size, sizeof *block->awaits);
    if (block->memory && block->awaits) return block;
    free_block(block, false);
    return NULL;
}

/* Below the free slots: the new ones have never been in a cache. */
static void put_below(sgp_mpi_slots_t *slots, sgp_mpi_slot_t *first) {
    sgp_mpi_slot_t **end = &slots->free;
    while (*end) end = &(*end)->next;
    *end = first;
}

bool sgp_mpi_slots_add(sgp_mpi_slots_t *slots, uint32_t more) {
    size_t stride = slots->front + slots->chunk_bytes;
    sgp_mpi_slot_t **all = realloc(slots->all, (slots->count + (size_t)more) * sizeof *all);
    if (!all) return false;
    slots->all = all;
    block_t *block = make_block(slots, more, stride);
    if (!block) return false;
    for (uint32_t i = 0; i < more; i++) {
        sgp_mpi_slot_t *slot = &block->slots[i];
        slot->cookie = slots->cookie;
        slot->id = slots->count + i;
        slot->memory = block->memory + i * stride;
        slot->awaits = block->awaits + i * (size_t)slots->size;
        slot->next = i + 1 < more ? slot + 1 : NULL;
        all[slot->id] = slot;
    }
    block->next = slots->blocks;
    slots->blocks = block;
    put_below(slots, block->slots);
    slots->count += more;
    slots->free_count += more;
    return true;
}

sgp_mpi_slot_t *sgp_mpi_slots_take(sgp_mpi_slots_t *slots) {
    sgp_mpi_slot_t *slot = slots->free;
    slots->free = slot->next;
    slots->free_count--;
    return slot;
}

void sgp_mpi_slots_give(sgp_mpi_slots_t *slots, sgp_mpi_slot_t *slot) {
    slot->next = slots->free;
    slots->free = slot;
    slots->free_count++;
}

unsigned char *sgp_mpi_slot_seal(const sgp_mpi_slots_t *slots, sgp_mpi_slot_t *slot,
                                 const sgp_header_t *header, const double *weights) {
    uint32_t table = weights != NULL;
    size_t front = sgp_mpi_front(slots->size, table);
    unsigned char *begin = slot->memory + slots->front - front;
    sgp_header_encode(header, begin);
    memcpy(begin + SGP_HEADER_BYTES, &slot->id, sizeof slot->id);
    memcpy(begin + SGP_HEADER_BYTES + 4, &table, sizeof table);
    if (table) memcpy(begin + SGP_MPI_FRONT, weights, (size_t)slots->size * sizeof *weights);
    slot->bytes = front + sgp_encoding_bytes(header->encoding, header->elements);
    return begin;
}

bool sgp_mpi_slot_open(const sgp_mpi_slots_t *slots, sgp_mpi_slot_t *slot, int rank, double *weight,
                       unsigned char **payload) {
    uint32_t table = 0;
    *weight = 0;
    if (slot->bytes < SGP_MPI_FRONT) return false;
    memcpy(&slot->theirs, slot->memory + SGP_HEADER_BYTES, sizeof slot->theirs);
    memcpy(&table, slot->memory + SGP_HEADER_BYTES + 4, sizeof table);
    size_t front = sgp_mpi_front(slots->size, table != 0);
    if (slot->bytes < front) return false;
    if (table)
        memcpy(weight, slot->memory + SGP_MPI_FRONT + (size_t)rank * sizeof *weight,
               sizeof *weight);
    *payload = slot->memory + front;
    return true;
}
