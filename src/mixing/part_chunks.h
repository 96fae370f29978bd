/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks of a vector that is given part by part: which elements have been given, and which chunks are whole. For a
 * step in parts (part_step.h); knows no message. */
#ifndef SGP_MIXING_PART_CHUNKS_H
#define SGP_MIXING_PART_CHUNKS_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sgp_part_chunk {
    size_t begin;     /* its first element */
    uint32_t count;   /* elements */
    uint32_t missing; /* of them, not given yet */
    /* The algorithm's: */
    int owner;      /* of its segment in an all-reduce */
    uint32_t index; /* there: in the segment */
    int absorbed; /* senders, in order; of our own segment in an all-reduce: ranks whose part is here */
    unsigned round; /* of the step, from 0 on: the one in which it is absorbed next */
    bool waits;     /* it has not left for that round: the push has not begun */
    bool done;      /* it is as after the step */
    double w;       /* the push-sum weight after these senders */
} sgp_part_chunk_t;

typedef struct sgp_part_chunks {
    sgp_part_chunk_t *chunk; /* (count) ascending, without gaps */
    size_t count, most;
    uint64_t *
        bits; /* (elements) 1: given. Valid for chunks of which some elements are missing, and others not */
    size_t missing; /* chunks that are not whole */
    size_t undone;
} sgp_part_chunks_t;

/* Room for `most` chunks of a vector of `length` elements. SGP_ERR_NO_MEMORY, logged. fini accepts all zeros and a failed
 * init. */
sgp_status_t sgp_part_chunks_init(sgp_part_chunks_t *chunks, size_t length, size_t most);
void sgp_part_chunks_fini(sgp_part_chunks_t *chunks);

/* Begins a step: no chunks. Then cut appends [begin, end) in chunks of `size`, the last one shorter; none of it is given. */
void sgp_part_chunks_clear(sgp_part_chunks_t *chunks);
void sgp_part_chunks_cut(sgp_part_chunks_t *chunks, size_t begin, size_t end, size_t size);

/* The chunk that holds the element. */
size_t sgp_part_chunks_at(const sgp_part_chunks_t *chunks, size_t element);

/* Whether no element of [offset, offset + count) has been given; count > 0. */
bool sgp_part_chunks_are_missing(const sgp_part_chunks_t *chunks, size_t offset, size_t count);

/* Gives elements of one chunk. true: the chunk is whole now. */
bool sgp_part_chunks_give(sgp_part_chunks_t *chunks, size_t index, size_t offset, size_t count);

/* The first element that has not been given; some chunk is not whole. */
size_t sgp_part_chunks_first_missing(const sgp_part_chunks_t *chunks);

#endif
