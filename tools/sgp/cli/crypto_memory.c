/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/crypto_memory.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* One mapping, from which blocks are cut and to which none returns: a freed block waits in the list of its size. libcrypto needs about
 * 1 MiB, and some 2 KiB per connection. What does not fit, malloc serves. Pages cost nothing until they are used. */
enum {
    ROOM = 32 << 20,
    LEAST = 5, /* a block has 2^k bytes, 2^LEAST to 2^MOST, with its head */
    MOST = 16,
    HEAD = 16, /* so the contents are aligned as malloc's are */
};

/* The head of a block. */
typedef struct block {
    unsigned k;
    struct block *next; /* of a free one, in its list */
} block_t;

_Static_assert(sizeof(block_t) <= HEAD, "a head is no longer than that");

static struct {
    pthread_mutex_t lock;
    unsigned char *start; /* (ROOM) */
    size_t used;
    block_t *free[MOST + 1];
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lock(void) {
    pthread_mutex_lock(&memory.lock);
}

static void unlock(void) {
    pthread_mutex_unlock(&memory.lock);
}

static bool is_ours(const void *contents) {
    return (uintptr_t)contents - (uintptr_t)memory.start < ROOM;
}

static block_t *block_of(void *contents) {
    return (block_t *)(void *)((unsigned char *)contents - HEAD);
}

static size_t room_of(void *contents) {
    return ((size_t)1 << block_of(contents)->k) - HEAD;
}

/* NULL: there is none of this size. The lock is held. */
static block_t *find(unsigned k) {
    block_t *found = memory.free[k];
    size_t bytes = (size_t)1 << k;
    if (found) {
        memory.free[k] = found->next;
    } else if (bytes <= ROOM - memory.used) {
        found = (block_t *)(void *)(memory.start + memory.used);
        memory.used += bytes;
    }
    return found;
}

static void *allocate(size_t bytes, const char *file, int line) {
    (void)file, (void)line;
    unsigned k = LEAST;
    if (bytes == 0) return NULL;
    while (k <= MOST && ((size_t)1 << k) - HEAD < bytes) k++;
    if (k > MOST) return malloc(bytes);
    lock();
    block_t *found = find(k);
    if (found) found->k = k;
    unlock();
    return found ? (unsigned char *)found + HEAD : malloc(bytes);
}

static void release(void *contents, const char *file, int line) {
    (void)file, (void)line;
    if (!is_ours(contents)) {
        free(contents);
        return;
    }
    explicit_bzero(contents, room_of(contents));
    lock();
    block_t *block = block_of(contents);
    block->next = memory.free[block->k];
    memory.free[block->k] = block;
    unlock();
}

static void *resize(void *contents, size_t bytes, const char *file, int line) {
    if (!contents) return allocate(bytes, file, line);
    if (!is_ours(contents)) return realloc(contents, bytes);
    if (bytes == 0) {
        release(contents, file, line);
        return NULL;
    }
    size_t room = room_of(contents);
    if (bytes <= room) return contents;
    void *moved = allocate(bytes, file, line);
    if (!moved) return NULL;
    memcpy(moved, contents, room);
    release(contents, file, line);
    return moved;
}

bool crypto_memory_hide(void) {
    void *start = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return false;
    memory.start = start;
    /* A child of fork finds the lock free, whatever other threads of its parent did. */
    if (madvise(start, ROOM, MADV_DONTDUMP) == 0 && pthread_atfork(lock, unlock, unlock) == 0 &&
        CRYPTO_set_mem_functions(allocate, resize, release) == 1)
        return true;
    munmap(start, ROOM);
    memory.start = NULL;
    return false;
}
