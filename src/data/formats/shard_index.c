/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/shard_index.h"

#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MAGIC "SGPINDEX"

enum { VERSION = 1, AT_VERSION = 8, AT_COUNT = 12, AT_TAR = 16, AT_HASH = 24 };

__attribute__((format(printf, 3, 4))) static sgp_status_t fail(char *problem, sgp_status_t status,
                                                               const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem, SHARD_INDEX_PROBLEM, format, arguments);
    va_end(arguments);
    return status;
}

sgp_status_t shard_index_add(shard_index_t *index, const shard_sample_t *sample) {
    if (index->count == index->room) {
        uint32_t room = index->room ? index->room * 2 : 256;
        shard_sample_t *samples =
            room > index->room ? realloc(index->samples, room * sizeof *samples) : NULL;
        if (!samples) return SGP_ERR_NO_MEMORY;
        index->samples = samples;
        index->room = room;
    }
    index->samples[index->count++] = *sample;
    return SGP_OK;
}

void shard_index_fini(shard_index_t *index) {
    free(index->samples);
    *index = (shard_index_t){0};
}

uint32_t shard_index_hash(const uint8_t block[TAR_BLOCK]) {
    return (uint32_t)XXH3_64bits(block, TAR_BLOCK);
}

size_t shard_index_bytes(const shard_index_t *index) {
    return SHARD_INDEX_HEADER + (size_t)index->count * SHARD_INDEX_RECORD;
}

static uint64_t hash_of(const uint8_t *bytes, size_t size) {
    uint64_t parts[2] = {XXH3_64bits(bytes, AT_HASH),
                         XXH3_64bits(bytes + SHARD_INDEX_HEADER, size - SHARD_INDEX_HEADER)};
    uint8_t both[16];
    sgp_bytes_put(both, parts[0], 8);
    sgp_bytes_put(both + 8, parts[1], 8);
    return XXH3_64bits(both, sizeof both);
}

void shard_index_encode(const shard_index_t *index, uint8_t *bytes) {
    memcpy(bytes, MAGIC, 8);
    sgp_bytes_put(bytes + AT_VERSION, VERSION, 4);
    sgp_bytes_put(bytes + AT_COUNT, index->count, 4);
    sgp_bytes_put(bytes + AT_TAR, index->tar_bytes, 8);
    for (uint32_t i = 0; i < index->count; i++) {
        uint8_t *record = bytes + SHARD_INDEX_HEADER + (size_t)i * SHARD_INDEX_RECORD;
        sgp_bytes_put(record, index->samples[i].block, 4);
        sgp_bytes_put(record + 4, index->samples[i].size, 4);
        sgp_bytes_put(record + 8, index->samples[i].header, 4);
        sgp_bytes_put(record + 12, index->samples[i].label, 4);
    }
    sgp_bytes_put(bytes + AT_HASH, hash_of(bytes, shard_index_bytes(index)), 8);
}

/* The sample lies behind the one before it, and within the tar file. */
static sgp_status_t check_sample(const shard_index_t *index, uint32_t number, char *problem) {
    const shard_sample_t *sample = &index->samples[number];
    uint64_t end = ((uint64_t)sample->block + 1) * TAR_BLOCK + sample->size;
    bool follows = number == 0 || sample->block > index->samples[number - 1].block;
    if (follows && end <= index->tar_bytes) return SGP_OK;
    return fail(problem, SGP_ERR_FORMAT,
                "is damaged: sample %u ends at byte %llu of a shard of %llu", number,
                (unsigned long long)end, (unsigned long long)index->tar_bytes);
}

sgp_status_t shard_index_decode(const uint8_t *bytes, size_t size, shard_index_t *index,
                                char problem[SHARD_INDEX_PROBLEM]) {
    if (size < SHARD_INDEX_HEADER || memcmp(bytes, MAGIC, 8) != 0)
        return fail(problem, SGP_ERR_FORMAT, "is no index of a shard: should begin with " MAGIC);
    uint64_t version = sgp_bytes_get(bytes + AT_VERSION, 4);
    uint64_t count = sgp_bytes_get(bytes + AT_COUNT, 4);
    if (version != VERSION)
        return fail(problem, SGP_ERR_FORMAT, "is of version %llu: should be %d",
                    (unsigned long long)version, VERSION);
    if (count == 0 || size != SHARD_INDEX_HEADER + count * SHARD_INDEX_RECORD)
        return fail(problem, SGP_ERR_FORMAT, "is damaged: has %zu bytes for %llu samples", size,
                    (unsigned long long)count);
    if (sgp_bytes_get(bytes + AT_HASH, 8) != hash_of(bytes, size))
        return fail(problem, SGP_ERR_FORMAT, "is damaged: its checksum is wrong");
    index->tar_bytes = sgp_bytes_get(bytes + AT_TAR, 8);
    index->samples = malloc(count * sizeof *index->samples);
    if (!index->samples) return fail(problem, SGP_ERR_NO_MEMORY, "no memory to read it");
    index->count = index->room = (uint32_t)count;
    sgp_status_t status = SGP_OK;
    for (uint32_t i = 0; i < count && !status; i++) {
        const uint8_t *record = bytes + SHARD_INDEX_HEADER + (size_t)i * SHARD_INDEX_RECORD;
        index->samples[i] = (shard_sample_t){.block = (uint32_t)sgp_bytes_get(record, 4),
                                             .size = (uint32_t)sgp_bytes_get(record + 4, 4),
                                             .header = (uint32_t)sgp_bytes_get(record + 8, 4),
                                             .label = (uint32_t)sgp_bytes_get(record + 12, 4)};
        status = check_sample(index, i, problem);
    }
    return status;
}
