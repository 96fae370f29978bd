/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/folder.h"

#include "base/logging.h"
#include "base/regular.h"
#include "data/formats/folder_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct folder {
    char directory[PATH_MAX];
    const char *split_names[SOURCE_SPLITS]; /* "train", "val" */
    names_t files[SOURCE_SPLITS];
} folder_t;

static bool has_folder(const char *directory, const char *name) {
    char path[PATH_MAX];
    struct stat info;
    return snprintf(path, sizeof path, "%s/%s", directory, name) < PATH_MAX &&
           stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static sgp_status_t probe(const char *directory) {
    return has_folder(directory, "train") ? SGP_OK : SGP_ERR_NOT_FOUND;
}

/* Files that are no samples are normal (a README); pictures that are no samples are not. */
static void report_ignored(const char *path, const folder_scan_t *scan) {
    if (scan->ignored == 0) return;
    sgp_log(scan->pictures ? SGP_LOG_WARNING : SGP_LOG_INFO,
            "%s: %llu files are ignored, since they end neither in .jpg nor in .jpeg nor in .png: "
            "%s, ...",
            path, (unsigned long long)scan->ignored, scan->example);
}

/* Appends up to three of the names of `from` that `other` lacks, both sorted. Returns how many it lacks. */
static size_t lacking(const names_t *from, const names_t *other, char *text, size_t room) {
    size_t count = 0, used = 0, j = 0;
    text[0] = '\0';
    for (size_t i = 0; i < from->count; i++) {
        const char *name = names_at(from, i);
        while (j < other->count && strcmp(names_at(other, j), name) < 0) j++;
        if (j < other->count && strcmp(names_at(other, j), name) == 0) continue;
        count++;
        if (count <= 3 && used < room)
            used += (size_t)snprintf(text + used, room - used, "%s%s", count > 1 ? ", " : "", name);
        if (count == 4 && used < room) snprintf(text + used, room - used, ", ...");
    }
    return count;
}

static sgp_status_t check_classes(const source_t *source, const char *path, const names_t *found) {
    char text[512];
    size_t count = lacking(&source->classes, found, text, sizeof text);
    if (count > 0)
        return sgp_fail(SGP_ERR_FORMAT,
                        "%s: lacks %zu of the %zu class folders of train: %s: both should have the "
                        "same",
                        path, count, source->classes.count, text);
    count = lacking(found, &source->classes, text, sizeof text);
    if (count > 0)
        return sgp_fail(SGP_ERR_FORMAT,
                        "%s: has %zu class folders that train lacks: %s: both should have the same",
                        path, count, text);
    return SGP_OK;
}

static sgp_status_t keep_split(source_t *source, source_split_t split, const char *path,
                               folder_scan_t *scan) {
    folder_t *folder = source->state;
    source->shape.count[split] = scan->files.count;
    sgp_status_t status = source_labels_allocate(source, split, path);
    if (status) return status;
    for (size_t label = 0; label < scan->classes.count; label++)
        for (uint64_t i = scan->first[label]; i < scan->first[label + 1]; i++)
            source->labels[split][i] = (uint16_t)label;
    folder->files[split] = scan->files;
    scan->files = (names_t){0};
    if (split != SOURCE_TRAIN) return SGP_OK;
    source->classes = scan->classes;
    source->shape.classes = (int)scan->classes.count;
    scan->classes = (names_t){0};
    return SGP_OK;
}

static sgp_status_t open_split(source_t *source, source_split_t split) {
    folder_t *folder = source->state;
    char path[PATH_MAX];
    folder_scan_t scan = {0};
    if (snprintf(path, sizeof path, "%s/%s", folder->directory, folder->split_names[split]) >=
        PATH_MAX)
        return sgp_fail(SGP_ERR_FORMAT, "%s: the path is too long", folder->directory);
    sgp_status_t status = folder_scan(path, &scan);
    if (!status) report_ignored(path, &scan);
    if (!status && split != SOURCE_TRAIN) status = check_classes(source, path, &scan.classes);
    if (!status) status = keep_split(source, split, path, &scan);
    folder_scan_fini(&scan);
    return status;
}

static sgp_status_t take_fingerprint(source_t *source) {
    const folder_t *folder = source->state;
    XXH3_state_t *state = source_hash_begin(source);
    if (!state) return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", folder->directory);
    for (int split = 0; split < SOURCE_SPLITS; split++)
        for (size_t i = 0; i < folder->files[split].count; i++) {
            const char *name = names_at(&folder->files[split], i);
            XXH3_64bits_update(state, name, strlen(name) + 1);
        }
    source->fingerprint = source_hash_end(state);
    return SGP_OK;
}

static sgp_status_t open_folder(const char *directory, source_t *source) {
    folder_t *folder = calloc(1, sizeof *folder);
    if (!folder) return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", directory);
    source->state = folder;
    if (snprintf(folder->directory, PATH_MAX, "%s", directory) >= PATH_MAX)
        return sgp_fail(SGP_ERR_FORMAT, "%s: the path is too long", directory);
    folder->split_names[SOURCE_TRAIN] = "train";
    folder->split_names[SOURCE_TEST] = has_folder(directory, "val") ? "val" : "test";
    if (!has_folder(directory, folder->split_names[SOURCE_TEST]))
        return sgp_fail(SGP_ERR_NOT_FOUND,
                        "%s: has train, but neither val nor test: the accuracy is measured on the "
                        "pictures there",
                        directory);
    source->shape.channels = 3;
    sgp_status_t status = open_split(source, SOURCE_TRAIN);
    if (!status) status = open_split(source, SOURCE_TEST);
    return status ? status : take_fingerprint(source);
}

static void close_folder(source_t *source) {
    folder_t *folder = source->state;
    if (!folder) return;
    for (int split = 0; split < SOURCE_SPLITS; split++) names_fini(&folder->files[split]);
    free(folder);
}

/* The path below the directory. Returns its length, which may exceed the room. */
static size_t relative_path(const source_t *source, source_split_t split, uint64_t index,
                            char *path, size_t room) {
    const folder_t *folder = source->state;
    return (size_t)snprintf(path, room, "%s/%s/%s", folder->split_names[split],
                            names_at(&source->classes, source->labels[split][index]),
                            names_at(&folder->files[split], index));
}

static void sample_name(const source_t *source, source_split_t split, uint64_t index,
                        char name[SOURCE_NAME_BYTES]) {
    relative_path(source, split, index, name, SOURCE_NAME_BYTES);
}

/* path: (PATH_MAX), which folder_scan has checked to suffice. */
static void whole_path(const source_t *source, source_split_t split, uint64_t index, char *path) {
    const folder_t *folder = source->state;
    size_t length = strlen(folder->directory);
    memcpy(path, folder->directory, length);
    path[length] = '/';
    relative_path(source, split, index, path + length + 1, PATH_MAX - length - 1);
}

static sgp_status_t read_file(const source_t *source, source_split_t split, uint64_t index,
                              source_buffer_t *buffer) {
    char path[PATH_MAX], problem[SGP_REGULAR_PROBLEM];
    struct stat info;
    int file;
    whole_path(source, split, index, path);
    if (sgp_regular_open(path, &file, problem))
        return source_buffer_fail(buffer, SGP_ERR_IO, "%s", problem);
    sgp_status_t status = SGP_OK;
    if (fstat(file, &info) != 0)
        status = source_buffer_fail(buffer, SGP_ERR_IO, "cannot be read: %s", strerror(errno));
    if (!status) status = source_buffer_reserve(buffer, (uint64_t)info.st_size);
    if (!status) status = source_buffer_pread(buffer, file, buffer->bytes, buffer->size, 0);
    close(file);
    return status;
}

static void will_need(const source_t *source, source_split_t split, const uint64_t *indices,
                      size_t count) {
    char path[PATH_MAX];
    for (size_t i = 0; i < count; i++) {
        whole_path(source, split, indices[i], path);
        int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (file < 0) continue; /* source_read says why */
        posix_fadvise(file, 0, 0, POSIX_FADV_WILLNEED);
        close(file);
    }
}

const source_format_t folder_format = {
    .name = "folder",
    .wanted = "train/CLASS/*.jpg",
    .encoded = true,
    .probe = probe,
    .open = open_folder,
    .close = close_folder,
    .read = read_file,
    .sample_name = sample_name,
    .will_need = will_need,
};
