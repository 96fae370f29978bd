/* SPDX-License-Identifier: Apache-2.0 */
/* Slots for the chunks that an mpi transport sends and receives. Used by its other files; makes no MPI call.
 *
 * A chunk is one MPI message of contiguous memory, so no MPI library packs it:
 *
 *  128 bytes  header (wire/header.h)
 *    4 bytes  the sender's slot, by which the receiver returns it
 *    4 bytes  1: there is a table of weights; 0: the header's weight holds for all receivers
 *   to 192    nothing
 *   8 size    the table, by rank, padded to a multiple of 64 bytes; only if the destinations' weights differ
 *             (all of them are sent the same memory)
 *   the rest  payload
 *
 * In a sender's slot the payload has a fixed place, and the message begins as far in front of it as it needs; in a
 * receiver's slot the message begins at the start. All parts are multiples of 64 bytes. */
#ifndef SGP_TRANSPORT_MPI_MPI_SLOTS_H
#define SGP_TRANSPORT_MPI_MPI_SLOTS_H

#include "wire/header.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_MPI_FRONT 192 /* bytes in front of the table */

/* The kind of a request under way; the first member of every object that serves as a cookie. */
typedef enum sgp_mpi_cookie {
    SGP_MPI_SENT = 1,
    SGP_MPI_RECEIVED,
    SGP_MPI_CONTROL
} sgp_mpi_cookie_t;

typedef struct sgp_mpi_slot {
    sgp_mpi_cookie_t cookie;
    uint32_t id;               /* of a sender's slot: its place in sgp_mpi_slots.all */
    struct sgp_mpi_slot *next; /* in the list that it is in */
    unsigned char *memory;     /* (front + chunk_bytes) */
    uint32_t references;       /* requests, and receivers that have not returned it */
    bool *awaits;              /* (size) ranks that must return it */
    int src, tag;              /* of a received message */
    size_t bytes;              /* of the message */
    uint32_t theirs;           /* the sender's slot */
} sgp_mpi_slot_t;

/* Slots of one kind. The free ones are a stack: the last used is still in the cache. */
typedef struct sgp_mpi_slots {
    sgp_mpi_cookie_t cookie;
    int size;     /* ranks */
    size_t front; /* bytes in front of a sender's payload */
    size_t chunk_bytes;
    sgp_mpi_slot_t *free;
    uint32_t free_count, count;
    sgp_mpi_slot_t **all; /* (count) */
    struct sgp_mpi_block *blocks;
} sgp_mpi_slots_t;

void sgp_mpi_slots_init(sgp_mpi_slots_t *slots, sgp_mpi_cookie_t cookie, int size,
                        size_t chunk_bytes);

/* forget: MPI may still use the memory, so it is kept until the process ends. */
void sgp_mpi_slots_fini(sgp_mpi_slots_t *slots, bool forget);

/* Adds slots; untouched memory costs nothing. false: no memory, nothing changed. */
bool sgp_mpi_slots_add(sgp_mpi_slots_t *slots, uint32_t more);

/* take: only if one is free. */
sgp_mpi_slot_t *sgp_mpi_slots_take(sgp_mpi_slots_t *slots);
void sgp_mpi_slots_give(sgp_mpi_slots_t *slots, sgp_mpi_slot_t *slot);

/* Bytes in front of the payload, with a table or without. */
size_t sgp_mpi_front(int size, bool table);

/* Writes the part in front of the payload; weights: (size) by rank, or NULL. Returns the message's beginning. */
unsigned char *sgp_mpi_slot_seal(const sgp_mpi_slots_t *slots, sgp_mpi_slot_t *slot,
                                 const sgp_header_t *header, const double *weights);

/* Reads slot->bytes received at slot->memory: the sender's slot, the weight for `rank` (0: the header's) and the payload.
 * false: too short to be a chunk. */
bool sgp_mpi_slot_open(const sgp_mpi_slots_t *slots, sgp_mpi_slot_t *slot, int rank, double *weight,
                       unsigned char **payload);

#endif
