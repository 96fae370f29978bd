/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/shards.h"

#include "base/logging.h"
#include "base/regular.h"
#include "data/formats/class_file.h"
#include "data/formats/shard_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

/* Where a sample is; its label is in source_t. */
typedef struct place {
    uint32_t block, size, header; /* as in shard_sample_t */
} place_t;

typedef struct split {
    names_t shards;
    uint64_t *first; /* (shards + 1) sample with which each begins */
    place_t *places; /* (count) */
    uint64_t room;
} split_t;

typedef struct shards {
    char directory[PATH_MAX];
    atomic_int
        *files; /* (kept) descriptors of the first shards, training before test; -1: not open yet */
    size_t kept;
    uint64_t scanned; /* shards without an index */
    uint32_t label;   /* the largest */
    split_t splits[SOURCE_SPLITS];
} shards_t;

/* A directory that may not be listed can hold files of another format. */
static sgp_status_t probe(const char *directory) {
    bool found = false;
    DIR *list = opendir(directory);
    if (!list && (errno == EACCES || errno == ENOENT)) return SGP_ERR_NOT_FOUND;
    if (!list)
        return sgp_fail(errno == ENOMEM ? SGP_ERR_NO_MEMORY : SGP_ERR_IO,
                        "%s: cannot be opened: %s", directory, strerror(errno));
    for (struct dirent *entry; !found && (entry = readdir(list));)
        found = shard_files_is(entry->d_name, SOURCE_TRAIN);
    closedir(list);
    return found ? SGP_OK : SGP_ERR_NOT_FOUND;
}

static bool reserve(source_t *source, source_split_t number, uint64_t count) {
    shards_t *shards = source->state;
    split_t *split = &shards->splits[number];
    if (count <= split->room) return true;
    uint64_t room = count + count / 2;
    place_t *places = realloc(split->places, room * sizeof *places);
    if (!places) return false;
    split->places = places;
    uint16_t *labels = realloc(source->labels[number], room * sizeof *labels);
    if (!labels) return false;
    source->labels[number] = labels;
    split->room = room;
    return true;
}

/* Gives memory back that more samples would need; it stays where that fails. */
static void trim(source_t *source, source_split_t number) {
    split_t *split = &((shards_t *)source->state)->splits[number];
    uint64_t count = source->shape.count[number];
    place_t *places = realloc(split->places, count * sizeof *places);
    if (places) split->places = places;
    uint16_t *labels = realloc(source->labels[number], count * sizeof *labels);
    if (labels) source->labels[number] = labels;
    split->room = count;
}

static sgp_status_t add_shard(source_t *source, source_split_t number, const char *name,
                              const shard_index_t *index) {
    shards_t *shards = source->state;
    uint64_t first = source->shape.count[number];
    if (!reserve(source, number, first + index->count))
        return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory for its samples", shards->directory);
    for (uint32_t i = 0; i < index->count; i++) {
        const shard_sample_t *sample = &index->samples[i];
        if (sample->label >= SOURCE_MAX_CLASSES ||
            (source->classes.count > 0 && sample->label >= source->classes.count))
            return sgp_fail(SGP_ERR_FORMAT,
                            "%s/%s: label %u of sample %u: should be below %zu, the classes of "
                            "%s",
                            shards->directory, name, sample->label, i,
                            source->classes.count ? source->classes.count
                                                  : (size_t)SOURCE_MAX_CLASSES,
                            SHARD_CLASSES);
        if (sample->label > shards->label) shards->label = sample->label;
        source->labels[number][first + i] = (uint16_t)sample->label;
        shards->splits[number].places[first + i] =
            (place_t){.block = sample->block, .size = sample->size, .header = sample->header};
    }
    source->shape.count[number] += index->count;
    return SGP_OK;
}

static sgp_status_t open_shard(source_t *source, source_split_t number, const char *name) {
    shards_t *shards = source->state;
    shard_index_t index = {0};
    bool scanned = false;
    sgp_status_t status = shard_files_read(shards->directory, name, &index, &scanned);
    shards->scanned += scanned;
    if (!status) status = add_shard(source, number, name, &index);
    shard_index_fini(&index);
    return status;
}

static sgp_status_t open_split(source_t *source, source_split_t number) {
    shards_t *shards = source->state;
    split_t *split = &shards->splits[number];
    sgp_status_t status = shard_files_list(shards->directory, number, &split->shards);
    if (status) return status;
    if (split->shards.count == 0)
        return sgp_fail(SGP_ERR_NOT_FOUND,
                        "%s: has no shards %s: the accuracy is measured on the pictures there",
                        shards->directory,
                        number == SOURCE_TRAIN ? "train-000000.tar" : "val-000000.tar");
    split->first = calloc(split->shards.count + 1, sizeof *split->first);
    if (!split->first) return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", shards->directory);
    for (size_t i = 0; i < split->shards.count && !status; i++) {
        status = open_shard(source, number, names_at(&split->shards, i));
        split->first[i + 1] = source->shape.count[number];
    }
    if (!status) trim(source, number);
    return status;
}

static sgp_status_t take_fingerprint(source_t *source) {
    const shards_t *shards = source->state;
    XXH3_state_t *state = source_hash_begin(source);
    if (!state) return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", shards->directory);
    for (int split = 0; split < SOURCE_SPLITS; split++)
        XXH3_64bits_update(state, shards->splits[split].places,
                           source->shape.count[split] * sizeof(place_t));
    source->fingerprint = source_hash_end(state);
    return SGP_OK;
}

static void report_scanned(const shards_t *shards) {
    if (shards->scanned > 0)
        sgp_log(SGP_LOG_WARNING,
                "%s: %llu of %zu shards have no index, so the headers of all their members were "
                "read; `sgp data index` writes indexes",
                shards->directory, (unsigned long long)shards->scanned,
                shards->splits[0].shards.count + shards->splits[1].shards.count);
}

/* For descriptors of shards that stay open. */
static sgp_status_t make_slots(shards_t *shards) {
    struct rlimit limit;
    size_t most = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (size_t)limit.rlim_cur / 2 : 0;
    shards->kept =
        shards->splits[SOURCE_TRAIN].shards.count + shards->splits[SOURCE_TEST].shards.count;
    if (shards->kept > most) shards->kept = most;
    shards->files = malloc((shards->kept + 1) * sizeof *shards->files);
    if (!shards->files) return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", shards->directory);
    for (size_t i = 0; i < shards->kept; i++) atomic_init(&shards->files[i], -1);
    return SGP_OK;
}

static sgp_status_t open_shards(const char *directory, source_t *source) {
    shards_t *shards = calloc(1, sizeof *shards);
    if (!shards) return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", directory);
    source->state = shards;
    if (snprintf(shards->directory, PATH_MAX, "%s", directory) >= PATH_MAX)
        return sgp_fail(SGP_ERR_FORMAT, "%s: the path is too long", directory);
    source->shape.channels = 3;
    sgp_status_t status = class_file_read(directory, SHARD_CLASSES, &source->classes);
    if (status == SGP_ERR_NOT_FOUND) status = SGP_OK;
    if (!status) status = open_split(source, SOURCE_TRAIN);
    if (!status) status = open_split(source, SOURCE_TEST);
    if (!status && source->classes.count == 0)
        status =
            class_file_names(directory, SHARD_CLASSES, (int)shards->label + 1, &source->classes);
    if (status) return status;
    source->shape.classes = (int)source->classes.count;
    report_scanned(shards);
    status = make_slots(shards);
    return status ? status : take_fingerprint(source);
}

static void close_shards(source_t *source) {
    shards_t *shards = source->state;
    if (!shards) return;
    for (size_t i = 0; shards->files && i < shards->kept; i++)
        if (atomic_load(&shards->files[i]) >= 0) close(atomic_load(&shards->files[i]));
    free(shards->files);
    for (int i = 0; i < SOURCE_SPLITS; i++) {
        names_fini(&shards->splits[i].shards);
        free(shards->splits[i].first);
        free(shards->splits[i].places);
    }
    free(shards);
}

/* The number of the shard that holds the sample. */
static size_t shard_of(const shards_t *shards, source_split_t number, uint64_t index) {
    const split_t *split = &shards->splits[number];
    size_t low = 0, high = split->shards.count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (split->first[middle] <= index) low = middle;
        else high = middle;
    }
    return low;
}

/* A shard that is open for reading. */
typedef struct opened {
    int file;
    bool kept; /* open for good */
} opened_t;

/* problem: of the failure. */
static sgp_status_t use_shard(const shards_t *shards, source_split_t number, size_t shard,
                              opened_t *opened, char problem[SGP_REGULAR_PROBLEM]) {
    char path[PATH_MAX];
    size_t slot = shard + (number == SOURCE_TRAIN ? 0 : shards->splits[SOURCE_TRAIN].shards.count);
    *opened = (opened_t){.file = slot < shards->kept ? atomic_load(&shards->files[slot]) : -1};
    if (opened->file >= 0) {
        opened->kept = true;
        return SGP_OK;
    }
    if (snprintf(path, sizeof path, "%s/%s", shards->directory,
                 names_at(&shards->splits[number].shards, shard)) >= PATH_MAX) {
        snprintf(problem, SGP_REGULAR_PROBLEM, "has a path that is too long");
        return SGP_ERR_IO;
    }
    int none = -1; /* else another thread was first, and this one uses its own descriptor once */
    sgp_status_t status = sgp_regular_open(path, &opened->file, problem);
    if (!status && slot < shards->kept)
        opened->kept = atomic_compare_exchange_strong(&shards->files[slot], &none, opened->file);
    return status;
}

static void leave_shard(const opened_t *opened) {
    if (!opened->kept) close(opened->file);
}

/* Reads the header block and the picture behind it in one call. */
static sgp_status_t read_place(int file, const place_t *place, source_buffer_t *buffer) {
    uint8_t block[TAR_BLOCK];
    uint64_t at = (uint64_t)place->block * TAR_BLOCK;
    struct iovec parts[2] = {{block, sizeof block}, {buffer->bytes, place->size}};
    ssize_t got = preadv(file, parts, 2, (off_t)at);
    if (got != (ssize_t)(sizeof block + place->size)) { /* rare: interrupted, cut or broken */
        sgp_status_t status = source_buffer_pread(buffer, file, block, sizeof block, at);
        if (!status)
            status = source_buffer_pread(buffer, file, buffer->bytes, place->size, at + TAR_BLOCK);
        if (status) return status;
    }
    if (shard_index_hash(block) == place->header) return SGP_OK;
    return source_buffer_fail(buffer, SGP_ERR_IO,
                              "the shard has another header at byte %llu than its index says: it "
                              "has changed",
                              (unsigned long long)at);
}

static sgp_status_t read_sample(const source_t *source, source_split_t split, uint64_t index,
                                source_buffer_t *buffer) {
    char problem[SGP_REGULAR_PROBLEM];
    const shards_t *shards = source->state;
    const place_t *place = &shards->splits[split].places[index];
    opened_t opened;
    if (use_shard(shards, split, shard_of(shards, split, index), &opened, problem))
        return source_buffer_fail(buffer, SGP_ERR_IO, "the shard %s", problem);
    sgp_status_t status = source_buffer_reserve(buffer, place->size);
    if (!status) status = read_place(opened.file, place, buffer);
    leave_shard(&opened);
    return status;
}

/* The member's name is in the shard alone. */
static void sample_name(const source_t *source, source_split_t split, uint64_t index,
                        char name[SOURCE_NAME_BYTES]) {
    char problem[SGP_REGULAR_PROBLEM];
    uint8_t block[TAR_BLOCK];
    const shards_t *shards = source->state;
    const place_t *place = &shards->splits[split].places[index];
    size_t shard = shard_of(shards, split, index);
    const char *file = names_at(&shards->splits[split].shards, shard);
    uint64_t at = (uint64_t)place->block * TAR_BLOCK;
    tar_member_t member;
    opened_t opened;
    snprintf(name, SOURCE_NAME_BYTES, "%s:byte %llu", file, (unsigned long long)at);
    if (use_shard(shards, split, shard, &opened, problem)) return;
    if (pread(opened.file, block, sizeof block, (off_t)at) == TAR_BLOCK &&
        shard_index_hash(block) == place->header && tar_parse(block, &member))
        snprintf(name, SOURCE_NAME_BYTES, "%.200s:%.300s", file, member.name);
    leave_shard(&opened);
}

static void will_need(const source_t *source, source_split_t split, const uint64_t *indices,
                      size_t count) {
    char problem[SGP_REGULAR_PROBLEM];
    const shards_t *shards = source->state;
    for (size_t i = 0; i < count; i++) {
        const place_t *place = &shards->splits[split].places[indices[i]];
        opened_t opened;
        if (use_shard(shards, split, shard_of(shards, split, indices[i]), &opened, problem))
            continue; /* source_read says why */
        posix_fadvise(opened.file, (off_t)place->block * TAR_BLOCK, (off_t)TAR_BLOCK + place->size,
                      POSIX_FADV_WILLNEED);
        leave_shard(&opened);
    }
}

const source_format_t shards_format = {
    .name = "shards",
    .wanted = "train-000000.tar",
    .encoded = true,
    .probe = probe,
    .open = open_shards,
    .close = close_shards,
    .read = read_sample,
    .sample_name = sample_name,
    .will_need = will_need,
};
