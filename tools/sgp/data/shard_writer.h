/* SPDX-License-Identifier: Apache-2.0 */
/* Writes one shard and its index, sample by sample. */
#ifndef SGP_DATA_SHARD_WRITER_H
#define SGP_DATA_SHARD_WRITER_H

#include "data/formats/shard_index.h"

#include <limits.h>
#include <stdio.h>

typedef struct shard_writer {
    char directory[PATH_MAX];
    char name[NAME_MAX + 1]; /* "train-000000.tar" */
    FILE *file;
    uint64_t at; /* bytes so far */
    shard_index_t index;
} shard_writer_t;

/* A sample becomes the members KEY.ENDING and KEY.cls. */
typedef struct shard_item {
    const char *key; /* at most SHARD_WRITER_KEY bytes, without a dot */
    const char *ending;
    const uint8_t *bytes; /* (size) */
    size_t size;
    uint32_t label;
} shard_item_t;

enum { SHARD_WRITER_KEY = 92 };

/* Each returns false after a line; then call shard_writer_abandon, unless begin has failed. */
bool shard_writer_begin(shard_writer_t *writer, const char *directory, const char *name);
bool shard_writer_add(shard_writer_t *writer, const shard_item_t *item);

/* Ends the shard, and forces it and its index to the disk. */
bool shard_writer_end(shard_writer_t *writer);

/* The incomplete file stays. */
void shard_writer_abandon(shard_writer_t *writer);

/* Writes the index of directory/name (a shard) beside it, in place of one that is there. Returns false after a line. */
bool shard_writer_index(const char *directory, const char *name, const shard_index_t *index);

#endif
