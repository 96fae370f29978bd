/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* A mapping rather than malloc for large blocks: fresh pages come zeroed and untouched, and an
 * aligned start lets the kernel use huge pages, which saves TLB misses in passes over a whole
 * vector. */
typedef struct block_header {
    void *base;    /* what to unmap, or NULL if from malloc */
    size_t length; /* of the mapping, bytes */
    void *heap;    /* what to free, or NULL if mapped */
} block_header_t;

static void *alloc_small(size_t bytes) {
    size_t total = bytes + SGP_ALIGNMENT + sizeof(block_header_t);
    char *heap = calloc(1, total);
    if (!heap) return NULL;
    uintptr_t start = (uintptr_t)heap + sizeof(block_header_t);
    start = (start + SGP_ALIGNMENT - 1) & ~(uintptr_t)(SGP_ALIGNMENT - 1);
    ((block_header_t *)start)[-1] = (block_header_t){.heap = heap};
    return (void *)start;
}

static void *alloc_large(size_t bytes) {
    size_t length = bytes + 2 * HUGE_PAGE;
    void *base = mmap(NULL, length, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return NULL;
    uintptr_t start = (uintptr_t)base + sizeof(block_header_t);
    start = (start + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    madvise((void *)start, bytes, MADV_HUGEPAGE); /* a hint: failure costs speed only */
    ((block_header_t *)start)[-1] = (block_header_t){.base = base, .length = length};
    return (void *)start;
}

void *sgp_memory_alloc(size_t bytes) {
    if (bytes > SIZE_MAX - 4 * HUGE_PAGE) return NULL;
    return bytes >= HUGE_PAGE ? alloc_large(bytes) : alloc_small(bytes);
}

void sgp_memory_free(void *memory) {
    if (!memory) return;
    block_header_t header = ((block_header_t *)memory)[-1];
    if (header.base) munmap(header.base, header.length);
    else free(header.heap);
}
