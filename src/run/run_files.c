/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_files.h"

#include "base/logging.h"
#include "run/checkpoint_folder.h"
#include "files/atomic_file.h"
#include "run/metrics.h"
#include "run/own_lines.h"
#include "run/run_tensorboard.h"
#include "run/run_trace.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first RUN_ALONE belong to runs alone; there are reports on other things as well. */
static const char *const names[] = {"config.json",       METRICS_FILE,  "summary.json",
                                    "model.safetensors", "report.html", RUN_TRACE_FILE};

enum { NAMES = sizeof names / sizeof names[0], RUN_ALONE = 4 };

static bool is_there(const char *directory, const char *name) {
    char path[PATH_MAX];
    struct stat found;
    return snprintf(path, sizeof path, "%s/%s", directory, name) < PATH_MAX &&
           lstat(path, &found) == 0;
}

bool run_files_exist(const char *directory) {
    checkpoint_list_t list;
    for (int i = 0; i < RUN_ALONE; i++)
        if (is_there(directory, names[i])) return true;
    if (!is_there(directory, CHECKPOINT_FOLDER) || checkpoint_list(directory, &list)) return false;
    bool some = list.count > 0;
    checkpoint_list_release(&list);
    return some;
}

bool run_files_finished(const json_t *summary) {
    const json_t *status = json_object_get(summary, "status");
    if (status) return json_is_string(status) && !strcmp(json_string_value(status), "finished");
    return json_is_string(json_object_get(summary, "parameters_hash"));
}

/* ---- removing ---- */

/* "flight-3.json", "flight-3.1.json", or a part of it (group/flight_file.h). */
static bool is_flight(const char *name) {
    size_t numbers = strncmp(name, "flight-", 7) == 0 ? strspn(name + 7, "0123456789.") : 0;
    const char *end = name + 7 + numbers; /* the point before json is among them */
    return numbers > 1 && (!strcmp(end, "json") || !strcmp(end, "json.part"));
}

/* A part of a file, "config-3.json" or "metrics-3.jsonl", of a killed run. */
static bool is_leftover(const char *name) {
    char config[NAME_MAX + 1], lines[OWN_LINES_NAME];
    int rank, length = 0;
    if (own_lines_is_name(name, &rank)) return true;
    if (sscanf(name, "metrics-%d.jsonl%n", &rank, &length) == 1 && length > 0) {
        snprintf(lines, sizeof lines, "metrics-%d.jsonl", rank);
        if (atomic_file_is_part(name, lines)) return true;
    }
    length = 0;
    for (int i = 0; i < NAMES; i++)
        if (atomic_file_is_part(name, names[i])) return true;
    if (is_flight(name)) return true;
    if (sscanf(name, "config-%d.json%n", &rank, &length) != 1 || length == 0) return false;
    snprintf(config, sizeof config, "config-%d.json", rank);
    return name[length] == '\0' || atomic_file_is_part(name, config);
}

static bool is_event_file(const char *name) {
    return strncmp(name, EVENT_FILE_PREFIX, strlen(EVENT_FILE_PREFIX)) == 0;
}

/* Removes the entries that are wanted. The directory may be missing. */
static sgp_status_t remove_entries(const char *directory, bool (*wanted)(const char *name)) {
    DIR *folder = opendir(directory);
    if (!folder && (errno == ENOENT || errno == ENOTDIR)) return SGP_OK;
    if (!folder) return sgp_fail(SGP_ERR_IO, "%s: cannot be read: %s", directory, strerror(errno));
    sgp_status_t status = SGP_OK;
    for (struct dirent *entry; !status && (entry = readdir(folder));)
        if (wanted(entry->d_name)) status = atomic_file_remove(directory, entry->d_name);
    closedir(folder);
    return status;
}

static sgp_status_t remove_events(const char *directory) {
    char path[PATH_MAX], part[PATH_MAX + NAME_MAX + 2];
    snprintf(path, sizeof path, "%s/" RUN_TENSORBOARD_DIRECTORY, directory);
    DIR *folder = opendir(path);
    if (!folder) return SGP_OK;
    sgp_status_t status = SGP_OK;
    for (struct dirent *entry; !status && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(part, sizeof part, "%s/%s", path, entry->d_name);
        status = remove_entries(part, is_event_file);
        rmdir(part);
    }
    closedir(folder);
    rmdir(path);
    return status;
}

static sgp_status_t remove_checkpoints(const char *directory) {
    char path[PATH_MAX];
    checkpoint_list_t list;
    if (!is_there(directory, CHECKPOINT_FOLDER)) return SGP_OK;
    sgp_status_t status = checkpoint_list(directory, &list);
    if (status) return status;
    for (size_t i = 0; i < list.count; i++) checkpoint_folder_remove(directory, list.steps[i], 0);
    checkpoint_list_release(&list);
    snprintf(path, sizeof path, "%s/" CHECKPOINT_FOLDER, directory);
    rmdir(path);
    return SGP_OK;
}

sgp_status_t run_files_remove_own_lines(const char *directory, int from) {
    DIR *folder = opendir(directory);
    if (!folder) return SGP_OK;
    sgp_status_t status = SGP_OK;
    int process;
    for (struct dirent *entry; !status && (entry = readdir(folder));)
        if (own_lines_is_name(entry->d_name, &process) && process >= from)
            status = atomic_file_remove(directory, entry->d_name);
    closedir(folder);
    return status;
}

/* config.json last, so that a directory whose removal is interrupted still counts as a run. */
static sgp_status_t remove_run(const char *directory) {
    sgp_status_t status = remove_checkpoints(directory);
    if (!status) status = remove_events(directory);
    if (!status) status = remove_entries(directory, is_leftover);
    for (int i = NAMES - 1; i >= 0 && !status; i--)
        status = atomic_file_remove(directory, names[i]);
    return status;
}

/* ---- what paused nodes have saved ---- */

#define PAUSE_FOLDER "paused"

enum { PAUSE_NAME = 32 };

/* OUTPUT/paused, or OUTPUT/paused/NAME. name: NULL: the first. */
static sgp_status_t join_pause(const char *output, const char *name, char path[PATH_MAX]) {
    int length = snprintf(path, PATH_MAX, "%s/" PAUSE_FOLDER "%s%s", output, name ? "/" : "",
                          name ? name : "");
    if (length < PATH_MAX) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "%.100s...: a path of %d bytes, must be below %d", output,
                    length, PATH_MAX);
}

static void name_node(int node, char name[PAUSE_NAME]) {
    snprintf(name, PAUSE_NAME, "node-%d", node);
}

/* Exactly as name_node writes it. */
static bool is_node(const char *name) {
    char again[PAUSE_NAME];
    int node;
    if (sscanf(name, "node-%d", &node) != 1 || node < 0) return false;
    name_node(node, again);
    return strcmp(name, again) == 0;
}

sgp_status_t run_files_make_pause(const char *output, int node, char path[PATH_MAX]) {
    char all[PATH_MAX], name[PAUSE_NAME];
    name_node(node, name);
    sgp_status_t status = join_pause(output, NULL, all);
    if (!status) status = join_pause(output, name, path);
    if (!status) status = atomic_file_make_directory(output, PAUSE_FOLDER);
    if (!status) status = atomic_file_make_directory(all, name);
    return status ? status : remove_run(path);
}

static sgp_status_t remove_node(const char *output, const char *name) {
    char path[PATH_MAX];
    sgp_status_t status = join_pause(output, name, path);
    if (!status) status = remove_run(path);
    if (status || rmdir(path) == 0 || errno == ENOENT || errno == ENOTEMPTY) return status;
    return sgp_fail(SGP_ERR_IO, "%s: cannot be removed: %s", path, strerror(errno));
}

void run_files_remove_pause(const char *output, int node) {
    char all[PATH_MAX], name[PAUSE_NAME];
    name_node(node, name);
    if (!join_pause(output, NULL, all) && !remove_node(output, name)) rmdir(all);
}

static sgp_status_t remove_pauses(const char *output) {
    char all[PATH_MAX];
    sgp_status_t status = join_pause(output, NULL, all);
    if (status) return status;
    DIR *folder = opendir(all);
    if (!folder) return SGP_OK;
    for (struct dirent *entry; !status && (entry = readdir(folder));)
        if (is_node(entry->d_name)) status = remove_node(output, entry->d_name);
    closedir(folder);
    rmdir(all);
    return status;
}

/* ---- all ---- */

sgp_status_t run_files_remove(const char *directory) {
    sgp_status_t status = remove_pauses(directory);
    return status ? status : remove_run(directory);
}
