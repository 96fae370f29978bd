/* SPDX-License-Identifier: Apache-2.0 */
#include "model/arena.h"

#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>

enum { CHUNK = 2 << 20 }; /* bytes of a huge page; chunks are multiples of it */

static size_t round_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

static size_t aligned(size_t bytes) {
    return round_up(bytes, SGP_ALIGNMENT);
}

bool arena_reserve(arena_t *arena, size_t bytes) {
    if (arena->count && bytes <= arena->limit - arena->used) return true;
    if (bytes > SIZE_MAX / 2) return false;
    void **chunks = realloc(arena->chunks, (arena->count + 1) * sizeof *chunks);
    if (!chunks) return false;
    arena->chunks = chunks;
    size_t limit = round_up(bytes, CHUNK);
    void *chunk = sgp_memory_alloc(limit);
    if (!chunk) return false;
    arena->chunks[arena->count++] = chunk;
    arena->bytes += limit;
    arena->limit = limit;
    arena->used = 0;
    return true;
}

void *arena_alloc(arena_t *arena, size_t bytes) {
    if (bytes > SIZE_MAX / 2 || !arena_reserve(arena, aligned(bytes))) return NULL;
    char *block = (char *)arena->chunks[arena->count - 1] + arena->used;
    arena->used += aligned(bytes);
    return block;
}

size_t arena_block_bytes(size_t bytes) {
    return aligned(bytes);
}

float *arena_floats(arena_t *arena, size_t count) {
    return count > SIZE_MAX / 8 ? NULL : arena_alloc(arena, count * sizeof(float));
}

size_t arena_taken(const arena_t *arena) {
    return arena->bytes - (arena->limit - arena->used);
}

void arena_release(arena_t *arena) {
    for (size_t i = 0; i < arena->count; i++) sgp_memory_free(arena->chunks[i]);
    free(arena->chunks);
    *arena = (arena_t){0};
}
