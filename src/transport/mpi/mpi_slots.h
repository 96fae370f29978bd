/* SPDX-License-Identifier: Apache-2.0 */
/* Places for chunks, sent and received. A chunk is one MPI message of contiguous memory, so that no MPI has to
 * pack it:
 *
 *   96 bytes  header (wire/header.h)
 *    4 bytes  the sender's slot, which the receiver names when it gives the chunk back
 *    4 bytes  1: there is a table of weights; 0: the header's is everybody's
 *   to 128    nothing
 *   8 size    the table, by rank, to a multiple of 64 bytes; only if the destinations' weights differ
 *             (one memory is sent to all of them)
 *   the rest  payload
 *
 * Payloads are at a fixed place of a sender's slot, and messages begin as far in front of it as they need; in a
 * receiver's slot messages begin at the start. All parts are multiples of 64 bytes. */
#ifndef SGP_TRANSPORT_MPI_MPI_SLOTS_H
#define SGP_TRANSPORT_MPI_MPI_SLOTS_H

#include "wire/header.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_MPI_FRONT 128 /* bytes in front of the table */

/* What a request under way belongs to; the first member of all that is a cookie. */
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
    uint32_t references;       /* requests, and receivers that have not given it back */
    bool *awaits;              /* (size) by whom it has to be given back */
    int src, tag;              /* of a received message */
    size_t bytes;              /* of the message */
    uint32_t theirs;           /* the sender's slot */
} sgp_mpi_slot_t;

/* Slots of one kind; those that are free are a stack: the one used last is still in the cache. */
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

/* forget: MPI may still read or write there, so the memory is left to the end of the process. */
void sgp_mpi_slots_fini(sgp_mpi_slots_t *slots, bool forget);

/* `more` slots; their memory costs nothing until it is used. false: no memory, nothing changed. */
bool sgp_mpi_slots_add(sgp_mpi_slots_t *slots, uint32_t more);

/* There is one. */
sgp_mpi_slot_t *sgp_mpi_slots_take(sgp_mpi_slots_t *slots);
void sgp_mpi_slots_give(sgp_mpi_slots_t *slots, sgp_mpi_slot_t *slot);

/* The bytes in front of the payload, with a table and without. */
size_t sgp_mpi_front(int size, bool table);

/* Writes what is in front of the payload; weights: (size) by rank, or NULL. Returns where the message begins. */
unsigned char *sgp_mpi_slot_seal(const sgp_mpi_slots_t *slots, sgp_mpi_slot_t *slot,
                                 const sgp_header_t *header, const double *weights);

/* The reverse, of slot->bytes received at slot->memory: finds the sender's slot, the weight for `rank` (0: the
 * header's) and the payload. false: too short to be a chunk. */
bool sgp_mpi_slot_open(const sgp_mpi_slots_t *slots, sgp_mpi_slot_t *slot, int rank, double *weight,
                       unsigned char **payload);

#endif
