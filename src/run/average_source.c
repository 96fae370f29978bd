/* SPDX-License-Identifier: Apache-2.0 */
#include "run/average_source.h"

#include "base/constants.h"
#include "base/logging.h"
#include "run/checkpoint_folder.h"
#include "run/run_id.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

sgp_status_t average_say(const tensor_file_t *file, char problem[TENSOR_FILE_PROBLEM],
                         const char *format, ...) {
    va_list arguments;
    int length = snprintf(problem, TENSOR_FILE_PROBLEM, "%.300s: ", file->path);
    va_start(arguments, format);
    vsnprintf(problem + length, (size_t)(TENSOR_FILE_PROBLEM - length), format, arguments);
    va_end(arguments);
    return SGP_ERR_FORMAT;
}

long average_number(const tensor_file_t *file, const char *key) {
    const char *text = tensor_file_text(file, key);
    char *end;
    if (!text || *text < '0' || *text > '9') return -1;
    long number = strtol(text, &end, 10);
    return *end == '\0' ? number : -1;
}

/* Whether it is of the same run and step as node 0's file. */
static sgp_status_t check_alike(const tensor_file_t *file, const tensor_file_t *first,
                                char problem[TENSOR_FILE_PROBLEM]) {
    static const char *const keys[] = {"model",      "nodes",    "workers_per_node",
                                       "parameters", "buffers",  "data_checksum",
                                       "options",    RUN_ID_KEY, "step"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *here = tensor_file_text(file, keys[i]);
        const char *there = tensor_file_text(first, keys[i]);
        if (!here && !there && strcmp(keys[i], RUN_ID_KEY) == 0) continue; /* earlier versions */
        if (!here || !there) return average_say(file, problem, "its metadata have no %s", keys[i]);
        if (strcmp(here, there) == 0) continue;
        average_say(file, problem, "is of another run than node 0's: %s is %.40s, there %.40s",
                    keys[i], here, there);
        return SGP_ERR_MISMATCH;
    }
    return SGP_OK;
}

static sgp_status_t open_one(average_source_t *source, int rank,
                             char problem[TENSOR_FILE_PROBLEM]) {
    char path[PATH_MAX + CHECKPOINT_NAME], name[CHECKPOINT_NAME];
    tensor_file_t *file = &source->files[rank];
    checkpoint_file_name(rank, name);
    snprintf(path, sizeof path, "%s/%s", source->folder, name);
    sgp_status_t status = tensor_file_open(path, file, problem);
    if (status) return status;
    source->count = rank + 1;
    status = source->checked ? SGP_OK : tensor_file_check(file, problem);
    if (status) return status;
    const char *kind = tensor_file_text(file, "kind");
    if (!kind || strcmp(kind, "checkpoint") != 0 || tensor_file_cover(file) == TENSOR_FILE_NOTHING)
        return average_say(file, problem, "is not the checkpoint of a node");
    if (average_number(file, "rank") != rank)
        return average_say(file, problem, "is of node %s", tensor_file_text(file, "rank"));
    if (rank == 0 && !source->checked) tensor_file_note(file);
    return check_alike(file, &source->files[0], problem);
}

static sgp_status_t open_folder(average_source_t *source, char problem[TENSOR_FILE_PROBLEM]) {
    source->count = 0;
    source->files = calloc(1, sizeof *source->files);
    sgp_status_t status = source->files ? open_one(source, 0, problem) : SGP_ERR_NO_MEMORY;
    long nodes = status ? 1 : average_number(&source->files[0], "nodes");
    long workers = status ? 1 : average_number(&source->files[0], "workers_per_node");
    if (!status && (nodes < 1 || workers < 1 || nodes > SGP_MOST_PROCESSES ||
                    workers > SGP_MOST_PROCESSES / nodes))
        status = average_say(&source->files[0], problem, "is of %ld nodes with %ld workers", nodes,
                             workers);
    long count = nodes * workers;
    tensor_file_t *files =
        status ? NULL : realloc(source->files, (size_t)count * sizeof *source->files);
    if (!status && !files) status = SGP_ERR_NO_MEMORY;
    if (files) source->files = files;
    for (int rank = 1; rank < count && !status; rank++) status = open_one(source, rank, problem);
    source->nodes = (int)nodes;
    source->workers = (int)workers;
    if (!status) return SGP_OK;
    if (status == SGP_ERR_NO_MEMORY)
        snprintf(problem, TENSOR_FILE_PROBLEM, "no memory for the files of %ld nodes", nodes);
    average_close(source);
    return status;
}

void average_close(average_source_t *source) {
    for (int rank = 0; rank < source->count; rank++) tensor_file_close(&source->files[rank]);
    free(source->files);
    source->files = NULL;
    source->count = 0;
}

/* Opens the newest good one. */
static sgp_status_t open_newest(const char *run, const checkpoint_list_t *list,
                                average_source_t *source) {
    char problem[TENSOR_FILE_PROBLEM];
    for (size_t i = 0; i < list->count; i++) {
        sgp_status_t status = checkpoint_folder(run, list->steps[i], source->folder);
        if (status) return status;
        status = open_folder(source, problem);
        if (!status) return SGP_OK;
        if (status == SGP_ERR_NO_MEMORY) return sgp_fail(status, "%s", problem);
        bool last = i + 1 == list->count;
        if (last && status == SGP_ERR_NOT_FOUND) status = SGP_ERR_FORMAT;
        if (last) return sgp_fail(status, "%s; there is no good checkpoint", problem);
        sgp_log(SGP_LOG_WARNING, "%s; using the checkpoint before it", problem);
    }
    return sgp_fail(SGP_ERR_NOT_FOUND, "%s: has no checkpoint", run);
}

static bool is_checkpoint(const char *path) {
    char file[PATH_MAX + CHECKPOINT_NAME];
    snprintf(file, sizeof file, "%s/node-0.safetensors", path);
    return access(file, F_OK) == 0;
}

sgp_status_t average_open_checked(const char *folder, average_source_t *source,
                                  char problem[TENSOR_FILE_PROBLEM]) {
    *source = (average_source_t){.checked = true};
    snprintf(source->folder, sizeof source->folder, "%s", folder);
    return open_folder(source, problem);
}

sgp_status_t average_open(const char *path, average_source_t *source) {
    char problem[TENSOR_FILE_PROBLEM];
    checkpoint_list_t list;
    *source = (average_source_t){0};
    if (strlen(path) >= PATH_MAX)
        return sgp_fail(SGP_ERR_INVALID, "a path of %zu bytes is too long", strlen(path));
    if (access(path, F_OK) != 0) return sgp_fail(SGP_ERR_NOT_FOUND, "%s: does not exist", path);
    if (is_checkpoint(path)) {
        strcpy(source->folder, path);
        sgp_status_t status = open_folder(source, problem);
        return status ? sgp_fail(status, "%s", problem) : SGP_OK;
    }
    sgp_status_t status = checkpoint_list(path, &list);
    if (status) return status;
    status = open_newest(path, &list, source);
    checkpoint_list_release(&list);
    return status;
}
