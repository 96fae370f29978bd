/* SPDX-License-Identifier: Apache-2.0 */
/* Where the samples of a shard are. A shard is a tar file in WebDataset's layout: consecutive members KEY.jpg, .jpeg or
 * .png and KEY.cls, in any order, are one sample; the key is the path up to the first dot of the file's name, and .cls
 * holds the label as a decimal number. Other members are ignored.
 *
 * The index lies beside SHARD.tar as SHARD.index, so that opening a data set does not read the headers of a million
 * members. Little-endian:
 *   "SGPINDEX", u32 version (1), u32 samples, u64 bytes of the tar file, u64 XXH3 of the 24 bytes before it and of all
 *   that follows it; for each sample: u32 block of 512 bytes in which its picture's header is, u32 bytes of the picture,
 *   u32 low half of XXH3 of that header block, u32 label.
 * A reader compares the hash of a sample's header block, so no shard is mistaken for another one, whatever its time. */
#ifndef SGP_DATA_FORMATS_SHARD_INDEX_H
#define SGP_DATA_FORMATS_SHARD_INDEX_H

#include "data/formats/tar.h"

enum {
    SHARD_INDEX_HEADER = 32,
    SHARD_INDEX_RECORD = 16,
    SHARD_INDEX_PROBLEM = 320,
};

typedef struct shard_sample {
    uint32_t block;  /* of the header; the data begin one block later */
    uint32_t size;   /* bytes of the picture */
    uint32_t header; /* hash of the header block */
    uint32_t label;
} shard_sample_t;

/* All zero is an empty one. */
typedef struct shard_index {
    shard_sample_t *samples; /* (count) in the order of the blocks */
    uint32_t count, room;
    uint64_t tar_bytes;
    uint64_t ignored; /* members that are no part of a sample; 0 in one that was read */
} shard_index_t;

/* SGP_ERR_NO_MEMORY: nothing has changed. */
sgp_status_t shard_index_add(shard_index_t *index, const shard_sample_t *sample);
void shard_index_fini(shard_index_t *index);

/* Of a header block. */
uint32_t shard_index_hash(const uint8_t block[TAR_BLOCK]);

/* Bytes of the file, and the file. bytes: (shard_index_bytes). */
size_t shard_index_bytes(const shard_index_t *index);
void shard_index_encode(const shard_index_t *index, uint8_t *bytes);

/* The opposite. Every sample of the result lies within tar_bytes. On failure problem reads "is damaged: ...", to stand
 * behind the name of the index. SGP_ERR_FORMAT, SGP_ERR_NO_MEMORY. Logs nothing; call shard_index_fini in any case. */
sgp_status_t shard_index_decode(const uint8_t *bytes, size_t size, shard_index_t *index,
                                char problem[SHARD_INDEX_PROBLEM]);

#endif
