/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/shard_files.h"

#include "base/logging.h"
#include "base/regular.h"
#include "data/formats/shard_scan.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An index of more bytes is damaged: a shard of as many samples would not be one of many. */
#define MOST_INDEX_BYTES ((uint64_t)1 << 32)

/* Whether name[0 .. length) ends with the word, at a boundary. */
static bool ends_with_word(const char *name, size_t length, const char *word) {
    size_t bytes = strlen(word);
    if (length < bytes || memcmp(name + length - bytes, word, bytes) != 0) return false;
    return length == bytes || strchr("-_.", name[length - bytes - 1]) != NULL;
}

bool shard_files_is(const char *name, source_split_t split) {
    static const char *const words[SOURCE_SPLITS][4] = {{"train"}, {"val", "validation", "test"}};
    size_t length = strlen(name);
    if (length < 4 || strcmp(name + length - 4, ".tar") != 0) return false;
    length -= 4;
    size_t digits = 0;
    while (digits < length && name[length - digits - 1] >= '0' && name[length - digits - 1] <= '9')
        digits++;
    if (digits == 0 || digits == length || name[length - digits - 1] != '-') return false;
    length -= digits + 1;
    for (const char *const *word = words[split]; *word; word++)
        if (ends_with_word(name, length, *word)) return true;
    return false;
}

/* The number before ".tar", and where it begins; the name is that of a shard. */
static uint64_t number_of(const char *name, size_t *at) {
    uint64_t number = 0;
    *at = strlen(name) - strlen(".tar");
    while (*at > 0 && name[*at - 1] >= '0' && name[*at - 1] <= '9') --*at;
    for (const char *digit = name + *at; *digit != '.'; digit++)
        number = number * 10 + (uint64_t)(*digit - '0');
    return number;
}

/* A shard that was not copied would go unnoticed. */
static void warn_of_gaps(const char *directory, const names_t *names) {
    for (size_t i = 1; i < names->count; i++) {
        const char *before = names_at(names, i - 1), *name = names_at(names, i);
        size_t at, before_at;
        uint64_t number = number_of(name, &at), number_before = number_of(before, &before_at);
        bool same =
            strlen(name) == strlen(before) && at == before_at && memcmp(name, before, at) == 0;
        if (same && number != number_before + 1)
            sgp_log(SGP_LOG_WARNING, "%s: shards are missing between %s and %s", directory, before,
                    name);
    }
}

sgp_status_t shard_files_list(const char *directory, source_split_t split, names_t *names) {
    DIR *list = opendir(directory);
    sgp_status_t status = SGP_OK;
    if (!list)
        return sgp_fail(errno == ENOMEM ? SGP_ERR_NO_MEMORY : SGP_ERR_IO,
                        "%s: cannot be opened: %s", directory, strerror(errno));
    for (struct dirent *entry; !status && (entry = readdir(list));)
        if (shard_files_is(entry->d_name, split) && names_add(names, entry->d_name))
            status =
                sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for the names of its files", directory);
    closedir(list);
    names_sort(names, 0, strcmp);
    if (!status) warn_of_gaps(directory, names);
    return status;
}

sgp_status_t shard_files_open(const char *directory, const char *name, int *file, uint64_t *bytes) {
    char path[PATH_MAX], problem[SGP_REGULAR_PROBLEM];
    struct stat info;
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= PATH_MAX)
        return sgp_fail(SGP_ERR_FORMAT, "%s/%s: the path is too long", directory, name);
    sgp_status_t status = sgp_regular_open(path, file, problem);
    if (status) return sgp_fail(status, "%s: %s", path, problem);
    if (fstat(*file, &info) != 0) {
        status = sgp_fail(SGP_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
        close(*file);
        return status;
    }
    *bytes = (uint64_t)info.st_size;
    return SGP_OK;
}

void shard_files_index_name(const char *name, char *index_name, size_t room) {
    snprintf(index_name, room, "%.*s.index", (int)(strlen(name) - strlen(".tar")), name);
}

static sgp_status_t decode_file(const char *directory, const char *name, int file, uint64_t bytes,
                                shard_index_t *index) {
    char problem[SHARD_INDEX_PROBLEM];
    uint8_t *content = bytes <= MOST_INDEX_BYTES ? malloc(bytes + 1) : NULL;
    if (!content)
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s/%s: no memory to read it", directory, name);
    ssize_t got = 0;
    size_t read_bytes = 0;
    while (read_bytes < bytes &&
           (got = pread(file, content + read_bytes, bytes - read_bytes, (off_t)read_bytes)) > 0)
        read_bytes += (size_t)got;
    sgp_status_t status;
    if (got < 0)
        status =
            sgp_fail(SGP_ERR_IO, "%s/%s: cannot be read: %s", directory, name, strerror(errno));
    else if ((status = shard_index_decode(content, read_bytes, index, problem)))
        status = sgp_fail(status, "%s/%s: %s; write it again with `sgp data index`", directory,
                          name, problem);
    free(content);
    return status;
}

/* Whether the index belongs to the shard. */
static sgp_status_t compare(const char *directory, const char *name, int file, uint64_t bytes,
                            const shard_index_t *index) {
    uint8_t block[TAR_BLOCK];
    const shard_sample_t *first = &index->samples[0];
    if (bytes != index->tar_bytes)
        return sgp_fail(
            SGP_ERR_FORMAT,
            "%s/%s: has %llu bytes, but %llu by its index: it was cut or has changed; if "
            "it is right, write the index again with `sgp data index`",
            directory, name, (unsigned long long)bytes, (unsigned long long)index->tar_bytes);
    if (pread(file, block, sizeof block, (off_t)first->block * TAR_BLOCK) != TAR_BLOCK)
        return sgp_fail(SGP_ERR_IO, "%s/%s: cannot be read", directory, name);
    if (shard_index_hash(block) == first->header) return SGP_OK;
    return sgp_fail(SGP_ERR_FORMAT,
                    "%s/%s: its first sample is not that of its index: it has changed; if it is "
                    "right, write the index again with `sgp data index`",
                    directory, name);
}

/* SGP_ERR_NOT_FOUND, not logged: there is no index. */
static sgp_status_t read_index(const char *directory, const char *name, shard_index_t *index) {
    char index_name[NAME_MAX + 8], path[PATH_MAX];
    int file;
    uint64_t bytes;
    shard_files_index_name(name, index_name, sizeof index_name);
    if (snprintf(path, sizeof path, "%s/%s", directory, index_name) >= PATH_MAX ||
        access(path, F_OK) != 0)
        return SGP_ERR_NOT_FOUND;
    sgp_status_t status = shard_files_open(directory, index_name, &file, &bytes);
    if (status) return status;
    status = decode_file(directory, index_name, file, bytes, index);
    close(file);
    return status;
}

sgp_status_t shard_files_read(const char *directory, const char *name, shard_index_t *index,
                              bool *scanned) {
    char problem[SHARD_INDEX_PROBLEM];
    int file;
    uint64_t bytes;
    sgp_status_t status = shard_files_open(directory, name, &file, &bytes);
    if (status) return status;
    status = read_index(directory, name, index);
    *scanned = status == SGP_ERR_NOT_FOUND;
    if (!status) {
        status = compare(directory, name, file, bytes, index);
    } else if (*scanned) {
        status = shard_scan(file, bytes, index, problem);
        if (status) status = sgp_fail(status, "%s/%s: %s", directory, name, problem);
    }
    close(file);
    return status;
}
