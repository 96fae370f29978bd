/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of one model: blocks that live until the model ends, and how many bytes they are.
 * Everything is taken while the model is built, so that a step allocates nothing. */
#ifndef MODEL_ARENA_H
#define MODEL_ARENA_H

#include <stddef.h>

typedef struct arena {
    void **blocks; /* (count) */
    size_t count;
    size_t bytes; /* asked for in total */
} arena_t;

/* Zeroed and 64-byte aligned; NULL when out of memory. An arena of zeros is an empty one. */
void *arena_alloc(arena_t *arena, size_t bytes);

static inline float *arena_floats(arena_t *arena, size_t count) {
    return arena_alloc(arena, count * sizeof(float));
}

/* Frees every block; the arena is empty again. */
void arena_release(arena_t *arena);

#endif
