/* SPDX-License-Identifier: Apache-2.0 */
#include "run/pause_files.h"

#include "base/logging.h"
#include "files/atomic_file.h"
#include "run/run_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "paused"

enum { NAME = 32 };

/* OUTPUT/paused, or OUTPUT/paused/NAME. name: NULL: the first. */
static sgp_status_t join(const char *output, const char *name, char path[PATH_MAX]) {
    int length =
        snprintf(path, PATH_MAX, "%s/" FOLDER "%s%s", output, name ? "/" : "", name ? name : "");
    if (length < PATH_MAX) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "%.100s...: a path of %d bytes, must be below %d", output,
                    length, PATH_MAX);
}

static void name_node(int node, char name[NAME]) {
    snprintf(name, NAME, "node-%d", node);
}

/* Exactly as name_node writes it. */
static bool is_node(const char *name) {
    char again[NAME];
    int node;
    if (sscanf(name, "node-%d", &node) != 1 || node < 0) return false;
    name_node(node, again);
    return strcmp(name, again) == 0;
}

sgp_status_t pause_files_make(const char *output, int node, char path[PATH_MAX]) {
    char all[PATH_MAX], name[NAME];
    name_node(node, name);
    sgp_status_t status = join(output, NULL, all);
    if (!status) status = join(output, name, path);
    if (!status) status = atomic_file_make_directory(output, FOLDER);
    if (!status) status = atomic_file_make_directory(all, name);
    return status ? status : run_files_remove(path);
}

static sgp_status_t remove_node(const char *output, const char *name) {
    char path[PATH_MAX];
    sgp_status_t status = join(output, name, path);
    if (!status) status = run_files_remove(path);
    if (status || rmdir(path) == 0 || errno == ENOENT || errno == ENOTEMPTY) return status;
    return sgp_fail(SGP_ERR_IO, "%s: cannot be removed: %s", path, strerror(errno));
}

void pause_files_remove(const char *output, int node) {
    char all[PATH_MAX], name[NAME];
    name_node(node, name);
    if (!join(output, NULL, all) && !remove_node(output, name)) rmdir(all);
}

sgp_status_t pause_files_remove_all(const char *output) {
    char all[PATH_MAX];
    sgp_status_t status = join(output, NULL, all);
    if (status) return status;
    DIR *folder = opendir(all);
    if (!folder) return SGP_OK;
    for (struct dirent *entry; !status && (entry = readdir(folder));)
        if (is_node(entry->d_name)) status = remove_node(output, entry->d_name);
    closedir(folder);
    rmdir(all);
    return status;
}
