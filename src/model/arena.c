/* SPDX-License-Identifier: Apache-2.0 */
#include "model/arena.h"

#include "base/memory.h"

#include <stdlib.h>

void *arena_alloc(arena_t *arena, size_t bytes) {
    void **blocks = realloc(arena->blocks, (arena->count + 1) * sizeof *blocks);
    if (!blocks) return NULL;
    arena->blocks = blocks;
    void *block = sgp_memory_alloc(bytes);
    if (!block) return NULL;
    arena->blocks[arena->count++] = block;
    arena->bytes += bytes;
    return block;
}

void arena_release(arena_t *arena) {
    for (size_t i = 0; i < arena->count; i++) sgp_memory_free(arena->blocks[i]);
    free(arena->blocks);
    *arena = (arena_t){0};
}
