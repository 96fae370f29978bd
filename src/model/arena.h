/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of one model. Blocks are allocated while the model is built and freed with it; a step
 * allocates nothing.
 *
 * Blocks are cut from a few large chunks, which the kernel backs with huge pages where it can: a
 * step walks over all of the activations, and with small pages much of its time would go to
 * address translation (measured: about 5 % of a step). */
#ifndef SGP_MODEL_ARENA_H
#define SGP_MODEL_ARENA_H

#include <stdbool.h>
#include <stddef.h>

typedef struct arena {
    void **chunks; /* (count) */
    size_t count;
    size_t bytes;       /* of all chunks */
    size_t used, limit; /* of the newest chunk, bytes */
} arena_t;

/* Allocates one chunk for the next blocks, `bytes` in total; false when out of memory. Without a
 * reservation, a block that does not fit the newest chunk starts another, and the rest is
 * wasted. */
bool arena_reserve(arena_t *arena, size_t bytes);

/* Bytes of a chunk that a block of `bytes` uses. */
size_t arena_block_bytes(size_t bytes);

/* Zeroed and 64-byte aligned; NULL when out of memory. A zeroed arena_t is an empty arena. */
void *arena_alloc(arena_t *arena, size_t bytes);

/* As arena_alloc; NULL also if the size overflows. */
float *arena_floats(arena_t *arena, size_t count);

/* Bytes taken so far: all chunks but the rest of the newest one. */
size_t arena_taken(const arena_t *arena);

/* Frees every block; the arena is empty again. */
void arena_release(arena_t *arena);

#endif
