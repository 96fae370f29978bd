/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of one model, which lives until the model ends. Everything is taken while the model is
 * built, so that a step allocates nothing.
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

/* One chunk for the next blocks, of `bytes` together; false when out of memory. Without it, a block
 * for which the newest chunk has no room starts another, and the room is lost. */
bool arena_reserve(arena_t *arena, size_t bytes);

/* What arena_floats takes of a chunk. */
size_t arena_floats_bytes(size_t count);

/* Zeroed and 64-byte aligned; NULL when out of memory. An arena of zeros is an empty one. */
void *arena_alloc(arena_t *arena, size_t bytes);

/* NULL too if count floats cannot be. */
float *arena_floats(arena_t *arena, size_t count);

/* Frees every block; the arena is empty again. */
void arena_release(arena_t *arena);

#endif
