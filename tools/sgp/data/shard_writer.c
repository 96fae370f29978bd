/* SPDX-License-Identifier: Apache-2.0 */
#include "data/shard_writer.h"
#include "cli/message.h"

#include "data/formats/shard_files.h"
#include "files/atomic_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Members carry no time, so that the same pictures give the same shards. */
enum { MEMBER_TIME = 0, BUFFER_BYTES = 1 << 20 };

static bool fail(const shard_writer_t *writer) {
    message_error("%s/%s: cannot be written: %s", writer->directory, writer->name, strerror(errno));
    return false;
}

bool shard_writer_begin(shard_writer_t *writer, const char *directory, const char *name) {
    char path[PATH_MAX];
    *writer = (shard_writer_t){0};
    snprintf(writer->directory, sizeof writer->directory, "%s", directory);
    snprintf(writer->name, sizeof writer->name, "%s", name);
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= PATH_MAX) errno = ENAMETOOLONG;
    else writer->file = fopen(path, "wbe");
    if (!writer->file) return fail(writer);
    setvbuf(writer->file, NULL, _IOFBF, BUFFER_BYTES);
    return true;
}

/* Header, data and padding. */
static bool add_member(shard_writer_t *writer, const char *name, const void *bytes, size_t size,
                       uint8_t block[TAR_BLOCK]) {
    static const uint8_t zeros[TAR_BLOCK];
    size_t padding = (size_t)tar_padded(size) - size;
    if (!tar_format(name, size, MEMBER_TIME, block)) {
        errno = ENAMETOOLONG;
        return fail(writer);
    }
    if (fwrite(block, 1, TAR_BLOCK, writer->file) != TAR_BLOCK ||
        fwrite(bytes, 1, size, writer->file) != size ||
        fwrite(zeros, 1, padding, writer->file) != padding)
        return fail(writer);
    writer->at += TAR_BLOCK + size + padding;
    return true;
}

bool shard_writer_add(shard_writer_t *writer, const shard_item_t *item) {
    char name[SHARD_WRITER_KEY + 8], label[16];
    uint8_t block[TAR_BLOCK];
    uint64_t at = writer->at;
    if (at / TAR_BLOCK > UINT32_MAX) {
        message_error("%s: would exceed 2 TB; more shards are smaller", writer->name);
        return false;
    }
    snprintf(name, sizeof name, "%.*s.%s", SHARD_WRITER_KEY, item->key, item->ending);
    if (!add_member(writer, name, item->bytes, item->size, block)) return false;
    shard_sample_t sample = {.block = (uint32_t)(at / TAR_BLOCK),
                             .size = (uint32_t)item->size,
                             .header = shard_index_hash(block),
                             .label = item->label};
    if (shard_index_add(&writer->index, &sample)) {
        errno = ENOMEM;
        return fail(writer);
    }
    snprintf(name, sizeof name, "%.*s.cls", SHARD_WRITER_KEY, item->key);
    snprintf(label, sizeof label, "%u", item->label);
    return add_member(writer, name, label, strlen(label), block);
}

bool shard_writer_index(const char *directory, const char *name, const shard_index_t *index) {
    char index_name[NAME_MAX + 8];
    size_t size = shard_index_bytes(index);
    uint8_t *bytes = malloc(size);
    if (!bytes) {
        message_error("%s/%s: no memory for its index", directory, name);
        return false;
    }
    shard_index_encode(index, bytes);
    shard_files_index_name(name, index_name, sizeof index_name);
    atomic_file_part_t part = {bytes, size};
    bool written = atomic_file_replace(directory, index_name, &part, 1) == SGP_OK;
    free(bytes);
    return written;
}

bool shard_writer_end(shard_writer_t *writer) {
    static const uint8_t end[2 * TAR_BLOCK];
    bool written = fwrite(end, 1, sizeof end, writer->file) == sizeof end &&
                   fflush(writer->file) == 0 && fsync(fileno(writer->file)) == 0;
    if (!written) fail(writer);
    if (fclose(writer->file) != 0 && written) written = fail(writer);
    writer->file = NULL;
    writer->index.tar_bytes = writer->at + sizeof end;
    written = written && shard_writer_index(writer->directory, writer->name, &writer->index);
    shard_index_fini(&writer->index);
    return written;
}

void shard_writer_abandon(shard_writer_t *writer) {
    if (writer->file) fclose(writer->file);
    writer->file = NULL;
    shard_index_fini(&writer->index);
}
