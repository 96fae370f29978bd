/* SPDX-License-Identifier: Apache-2.0 */
#include "run/checkpoint_folder.h"

#include "base/logging.h"
#include "files/atomic_file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".safetensors"

/* ---- names ---- */

static void step_name(uint64_t step, char name[CHECKPOINT_NAME]) {
    snprintf(name, CHECKPOINT_NAME, "step-%09" PRIu64, step);
}

void checkpoint_file_name(int rank, char name[CHECKPOINT_NAME]) {
    snprintf(name, CHECKPOINT_NAME, "node-%d" SUFFIX, rank);
}

/* Exactly as step_name writes it. */
static bool parse_step(const char *name, uint64_t *step) {
    char again[CHECKPOINT_NAME];
    if (strncmp(name, "step-", 5) != 0) return false;
    *step = strtoull(name + 5, NULL, 10);
    step_name(*step, again);
    return strcmp(name, again) == 0;
}

/* The rank in "node-R.safetensors" or a part of it; -1: another file. */
static int parse_rank(const char *name) {
    char again[CHECKPOINT_NAME];
    if (strncmp(name, "node-", 5) != 0) return -1;
    long rank = strtol(name + 5, NULL, 10);
    if (rank < 0 || rank > INT_MAX) return -1;
    checkpoint_file_name((int)rank, again);
    return strcmp(name, again) == 0 || atomic_file_is_part(name, again) ? (int)rank : -1;
}

static sgp_status_t join(char path[PATH_MAX], const char *run, const char *step, const char *file) {
    int length = snprintf(path, PATH_MAX, "%s/" CHECKPOINT_FOLDER "%s%s%s%s", run, *step ? "/" : "",
                          step, *file ? "/" : "", file);
    if (length < PATH_MAX) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "%.100s...: a path of %d bytes, must be below %d", run, length,
                    PATH_MAX);
}

sgp_status_t checkpoint_folder(const char *run, uint64_t step, char path[PATH_MAX]) {
    char name[CHECKPOINT_NAME];
    step_name(step, name);
    return join(path, run, name, "");
}

sgp_status_t checkpoint_file(const char *run, uint64_t step, int rank, char path[PATH_MAX]) {
    char name[CHECKPOINT_NAME], file[CHECKPOINT_NAME];
    step_name(step, name);
    checkpoint_file_name(rank, file);
    return join(path, run, name, file);
}

/* ---- listing ---- */

static int newest_first(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left < right) - (left > right);
}

static sgp_status_t append(checkpoint_list_t *list, uint64_t step) {
    uint64_t *steps = realloc(list->steps, (list->count + 1) * sizeof *steps);
    if (!steps) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a list of checkpoints");
    list->steps = steps;
    list->steps[list->count++] = step;
    return SGP_OK;
}

sgp_status_t checkpoint_list(const char *run, checkpoint_list_t *list) {
    char path[PATH_MAX];
    uint64_t step;
    *list = (checkpoint_list_t){0};
    sgp_status_t status = join(path, run, "", "");
    if (status) return status;
    DIR *folder = opendir(path);
    if (!folder && errno == ENOENT) return SGP_OK;
    if (!folder) return sgp_fail(SGP_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    for (struct dirent *entry; !status && (entry = readdir(folder));)
        if (parse_step(entry->d_name, &step)) status = append(list, step);
    closedir(folder);
    if (status) checkpoint_list_release(list);
    else if (list->count > 0) qsort(list->steps, list->count, sizeof *list->steps, newest_first);
    return status;
}

void checkpoint_list_release(checkpoint_list_t *list) {
    free(list->steps);
    *list = (checkpoint_list_t){0};
}

/* ---- making and removing ---- */

/* ENOENT: another node has removed it already. */
static void warn(const char *path) {
    if (errno != ENOENT)
        sgp_log(SGP_LOG_WARNING, "%s: cannot be removed: %s", path, strerror(errno));
}

/* A part that a process of this machine may be writing right now. One that has ended and was not waited for has no program. */
static bool is_being_written(const char *file) {
    const char *part = strstr(file, SUFFIX ".");
    long pid = part ? strtol(part + sizeof SUFFIX, NULL, 10) : 0;
    char path[40], program[1];
    if (pid <= 0) return false;
    snprintf(path, sizeof path, "/proc/%ld/exe", pid);
    return readlink(path, program, sizeof program) >= 0 || errno == EACCES;
}

/* Removes the files of this node from the folder of a step; on node 0 also those of nodes from `nodes` on. */
static void remove_files(const char *path, int rank, int nodes) {
    DIR *folder = opendir(path);
    if (!folder) {
        warn(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        int owner = parse_rank(entry->d_name);
        bool surplus = rank == 0 && owner >= nodes;
        if (owner < 0 || (owner != rank && !surplus) || is_being_written(entry->d_name)) continue;
        if (unlinkat(dirfd(folder), entry->d_name, 0) != 0) warn(path);
    }
    closedir(folder);
}

/* A node that was struck off while it slept may do this while the others write the files of the same step: their parts stay, and so
 * do the files of the others. */
sgp_status_t checkpoint_folder_prepare(const char *run, uint64_t step, int rank, int nodes) {
    char path[PATH_MAX], name[CHECKPOINT_NAME];
    step_name(step, name);
    sgp_status_t status = atomic_file_make_directory(run, CHECKPOINT_FOLDER);
    if (!status) status = join(path, run, "", "");
    if (!status) status = atomic_file_make_directory(path, name);
    if (!status) status = checkpoint_folder(run, step, path);
    if (!status) remove_files(path, rank, nodes);
    if (!status) status = checkpoint_file(run, step, rank, path);
    if (status || unlink(path) == 0 || errno == ENOENT) return status;
    return sgp_fail(SGP_ERR_IO, "%s: cannot be replaced: %s", path, strerror(errno));
}

void checkpoint_folder_remove(const char *run, uint64_t step, int rank) {
    char path[PATH_MAX];
    if (checkpoint_folder(run, step, path)) return;
    remove_files(path, rank, 0);
    rmdir(path); /* fails while others' files are in it */
}

void checkpoint_folder_keep(const char *run, uint64_t newest, uint64_t before, int rank) {
    checkpoint_list_t list;
    if (checkpoint_list(run, &list)) return;
    for (size_t i = 0; i < list.count; i++)
        if (list.steps[i] != newest && list.steps[i] != before)
            checkpoint_folder_remove(run, list.steps[i], rank);
    checkpoint_list_release(&list);
}
