/* SPDX-License-Identifier: Apache-2.0 */
/* A shard and an index of one: switches, then the bytes of the file. */
#include "fuzz.h"

#include "base/bytes.h"
#include "data/formats/shard_scan.h"
#include "data/source.h"

#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

enum { INDEX = 0x02, MOST = 1 << 16, AT_SUM = 148, AT_TYPE = 156, AT_MAGIC = 257, AT_HASH = 24 };

/* The sum of each block that may be a header. */
static void repair_tar(uint8_t *bytes, size_t size) {
    for (size_t at = 0; at + TAR_BLOCK <= size; at += TAR_BLOCK) {
        uint8_t *block = bytes + at;
        char text[8];
        unsigned sum = 0;
        if (memcmp(block + AT_MAGIC, "ustar", 5) != 0) continue;
        memset(block + AT_SUM, ' ', 8);
        for (int i = 0; i < TAR_BLOCK; i++) sum += block[i];
        snprintf(text, sizeof text, "%06o", sum & 0777777);
        memcpy(block + AT_SUM, text, 7);
    }
}

/* As shard_index.h defines the checksum: over the hashes of both parts. */
static void repair_index(uint8_t *bytes, size_t size) {
    uint8_t both[16];
    if (size < SHARD_INDEX_HEADER) return;
    sgp_bytes_put(both, XXH3_64bits(bytes, AT_HASH), 8);
    sgp_bytes_put(both + 8, XXH3_64bits(bytes + SHARD_INDEX_HEADER, size - SHARD_INDEX_HEADER), 8);
    sgp_bytes_put(bytes + AT_HASH, XXH3_64bits(both, sizeof both), 8);
}

/* Every sample lies in the shard, behind the one before it. */
static void check_samples(const shard_index_t *index) {
    FUZZ_CHECK(index->count > 0);
    for (uint32_t i = 0; i < index->count; i++) {
        const shard_sample_t *sample = &index->samples[i];
        uint64_t begin = ((uint64_t)sample->block + 1) * TAR_BLOCK;
        FUZZ_CHECK(begin + sample->size <= index->tar_bytes);
        FUZZ_CHECK(i == 0 || sample->block > index->samples[i - 1].block);
    }
}

/* Written and read again it is the same. */
static void check_file(const shard_index_t *index) {
    char problem[SHARD_INDEX_PROBLEM];
    shard_index_t again = {0};
    size_t size = shard_index_bytes(index);
    uint8_t *bytes = malloc(size);
    FUZZ_CHECK(bytes);
    shard_index_encode(index, bytes);
    FUZZ_CHECK(shard_index_decode(bytes, size, &again, problem) == SGP_OK);
    FUZZ_CHECK(again.count == index->count && again.tar_bytes == index->tar_bytes);
    FUZZ_CHECK(memcmp(again.samples, index->samples, index->count * sizeof *index->samples) == 0);
    shard_index_fini(&again);
    free(bytes);
}

static void check_problem(const char *problem) {
    size_t length = strnlen(problem, SHARD_INDEX_PROBLEM);
    FUZZ_CHECK(length > 0 && length < SHARD_INDEX_PROBLEM);
    for (size_t i = 0; i < length; i++)
        FUZZ_CHECK((unsigned char)problem[i] >= ' ' && problem[i] != 0x7f);
}

static void fuzz_tar(const uint8_t *bytes, size_t size) {
    char problem[SHARD_INDEX_PROBLEM] = "";
    shard_index_t index = {0};
    int file = memfd_create("shard", 0);
    FUZZ_CHECK(file >= 0 && write(file, bytes, size) == (ssize_t)size);
    if (shard_scan(file, size, &index, problem) == SGP_OK) {
        check_samples(&index);
        check_file(&index);
        for (uint32_t i = 0; i < index.count; i++) {
            const shard_sample_t *sample = &index.samples[i];
            FUZZ_CHECK(sample->label < SOURCE_MAX_CLASSES);
            FUZZ_CHECK(sample->header ==
                       shard_index_hash(bytes + (size_t)sample->block * TAR_BLOCK));
        }
    } else {
        check_problem(problem);
    }
    shard_index_fini(&index);
    close(file);
}

static void fuzz_index(const uint8_t *bytes, size_t size) {
    char problem[SHARD_INDEX_PROBLEM] = "";
    shard_index_t index = {0};
    if (shard_index_decode(bytes, size, &index, problem) == SGP_OK) {
        check_samples(&index);
        check_file(&index);
    } else {
        check_problem(problem);
    }
    shard_index_fini(&index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > MOST) return 0;
    unsigned switches = data[0];
    uint8_t *bytes =
        malloc(size); /* of exactly the right size, so that a sanitizer sees a read beyond it */
    FUZZ_CHECK(bytes);
    memcpy(bytes, data + 1, --size);
    bytes = realloc(bytes, size ? size : 1);
    FUZZ_CHECK(bytes);
    if (switches & INDEX) {
        if (switches & FUZZ_REPAIR) repair_index(bytes, size);
        fuzz_index(bytes, size);
    } else {
        if (switches & FUZZ_REPAIR) repair_tar(bytes, size);
        fuzz_tar(bytes, size);
    }
    free(bytes);
    return 0;
}
