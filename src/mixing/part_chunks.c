/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/part_chunks.h"

#include "base/logging.h"
#include "base/memory.h"

enum { BITS = 64 };

sgp_status_t sgp_part_chunks_init(sgp_part_chunks_t *chunks, size_t length, size_t most) {
    *chunks = (sgp_part_chunks_t){.most = most};
    chunks->chunk = sgp_memory_alloc(most * sizeof *chunks->chunk);
    chunks->bits = sgp_memory_alloc((length / BITS + 1) * sizeof *chunks->bits);
    if (chunks->chunk && chunks->bits) return SGP_OK;
    sgp_part_chunks_fini(chunks);
    return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for a step in parts of %zu numbers",
                    length);
}

void sgp_part_chunks_fini(sgp_part_chunks_t *chunks) {
    sgp_memory_free(chunks->chunk);
    sgp_memory_free(chunks->bits);
    *chunks = (sgp_part_chunks_t){0};
}

void sgp_part_chunks_clear(sgp_part_chunks_t *chunks) {
    chunks->count = chunks->missing = chunks->undone = 0;
}

void sgp_part_chunks_cut(sgp_part_chunks_t *chunks, size_t begin, size_t end, size_t size) {
    for (size_t at = begin; at < end; at += size) {
        uint32_t count = (uint32_t)(end - at < size ? end - at : size);
        chunks->chunk[chunks->count++] =
            (sgp_part_chunk_t){.begin = at, .count = count, .missing = count};
    }
    chunks->missing = chunks->undone = chunks->count;
}

size_t sgp_part_chunks_at(const sgp_part_chunks_t *chunks, size_t element) {
    size_t low = 0, high = chunks->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (chunks->chunk[middle].begin <= element) low = middle;
        else high = middle;
    }
    return low;
}

/* ---- the bits of chunks that were given in part ---- */

/* Of the word of element `at`: the bits of [at, end) in it. *next: the first element of the next word. */
static uint64_t mask_of(size_t at, size_t end, size_t *next) {
    size_t first = at % BITS, stop = at - first + BITS;
    *next = stop < end ? stop : end;
    uint64_t below = first ? ((uint64_t)1 << first) - 1 : 0;
    uint64_t above = end < stop ? ~(((uint64_t)1 << (end % BITS)) - 1) : 0;
    return ~below & ~above;
}

static bool is_clear(const uint64_t *bits, size_t at, size_t end) {
    for (size_t next; at < end; at = next)
        if (bits[at / BITS] & mask_of(at, end, &next)) return false;
    return true;
}

static void clear_bits(uint64_t *bits, size_t at, size_t end) {
    for (size_t next; at < end; at = next) {
        uint64_t mask = mask_of(at, end, &next);
        bits[at / BITS] &= ~mask;
    }
}

static void set_bits(uint64_t *bits, size_t at, size_t end) {
    for (size_t next; at < end; at = next) {
        uint64_t mask = mask_of(at, end, &next);
        bits[at / BITS] |= mask;
    }
}

static size_t end_of(const sgp_part_chunk_t *chunk) {
    return chunk->begin + chunk->count;
}

bool sgp_part_chunks_are_missing(const sgp_part_chunks_t *chunks, size_t offset, size_t count) {
    size_t end = offset + count;
    for (size_t c = sgp_part_chunks_at(chunks, offset); c < chunks->count; c++) {
        const sgp_part_chunk_t *chunk = &chunks->chunk[c];
        if (chunk->begin >= end) break;
        if (chunk->missing == 0) return false;
        if (chunk->missing == chunk->count) continue;
        size_t from = offset > chunk->begin ? offset : chunk->begin;
        size_t to = end < end_of(chunk) ? end : end_of(chunk);
        if (!is_clear(chunks->bits, from, to)) return false;
    }
    return true;
}

bool sgp_part_chunks_give(sgp_part_chunks_t *chunks, size_t index, size_t offset, size_t count) {
    sgp_part_chunk_t *chunk = &chunks->chunk[index];
    if (count < chunk->count) {
        if (chunk->missing == chunk->count) clear_bits(chunks->bits, chunk->begin, end_of(chunk));
        set_bits(chunks->bits, offset, offset + count);
    }
    chunk->missing -= (uint32_t)count;
    chunks->missing -= chunk->missing == 0;
    return chunk->missing == 0;
}

size_t sgp_part_chunks_first_missing(const sgp_part_chunks_t *chunks) {
    const sgp_part_chunk_t *chunk = chunks->chunk;
    while (chunk->missing == 0) chunk++;
    size_t at = chunk->begin;
    while (chunk->missing < chunk->count && !is_clear(chunks->bits, at, at + 1)) at++;
    return at;
}
