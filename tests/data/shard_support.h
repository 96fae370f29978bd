/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of shards: tar files in memory, written as POSIX says and not by our own code. */
#ifndef SGP_TESTS_DATA_SHARD_SUPPORT_H
#define SGP_TESTS_DATA_SHARD_SUPPORT_H

#include "source_support.h"

typedef struct tar_file {
    uint8_t *bytes;
    size_t size;
} tar_file_t;

static inline void tar_add_bytes(tar_file_t *tar, const void *bytes, size_t count) {
    size_t padded = (count + 511) / 512 * 512;
    tar->bytes = realloc(tar->bytes, tar->size + padded);
    assert_true(tar->bytes || padded == 0);
    memset(tar->bytes + tar->size, 0, padded);
    memcpy(tar->bytes + tar->size, bytes, count);
    tar->size += padded;
}

/* type: '0', 'x', 'L', ...; size: as the header states it. */
static inline void tar_add_header(tar_file_t *tar, const char *name, char type, size_t size) {
    char block[512] = {0};
    memcpy(block, name, strlen(name));
    strcpy(block + 100, "0000644");
    strcpy(block + 108, "0001750");
    strcpy(block + 116, "0001750");
    snprintf(block + 124, 12, "%011o", (unsigned)size & 0x3fffffff);
    strcpy(block + 136, "14542363000");
    memset(block + 148, ' ', 8);
    block[156] = type;
    memcpy(block + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum);
    block[155] = ' ';
    tar_add_bytes(tar, block, sizeof block);
}

static inline void tar_add(tar_file_t *tar, const char *name, const char *content) {
    tar_add_header(tar, name, '0', strlen(content));
    tar_add_bytes(tar, content, strlen(content));
}

static inline void tar_add_end(tar_file_t *tar) {
    static const uint8_t zeros[1024];
    tar_add_bytes(tar, zeros, sizeof zeros);
}

/* Writes it, and releases the memory. */
static inline void tar_put(tar_file_t *tar, const char *directory, const char *name) {
    put_bytes(directory, name, tar->bytes, tar->size);
    free(tar->bytes);
    *tar = (tar_file_t){0};
}

#endif
