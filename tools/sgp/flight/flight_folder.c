/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and reads the files of one run. */
#include "flight/flight_view.h"
#include "cli/exit_status.h"
#include "cli/message.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 4096 };

static bool is_name(const char *name) {
    size_t length = strlen(name);
    return strncmp(name, "flight-", 7) == 0 && length > 12 &&
           strcmp(name + length - 5, ".json") == 0 &&
           strspn(name + 7, "0123456789.") + 11 >= length;
}

/* ---- one run ---- */

static int64_t begun(const flight_source_t *source) {
    return source->node.clocks[0].wall;
}
static int64_t written(const flight_source_t *source) {
    return source->node.clocks[1].wall;
}

/* Nodes of one run were there at the same time; wall clocks of machines may differ by some seconds. */
static bool go_together(const flight_source_t *a, const flight_source_t *b) {
    const int64_t slack = INT64_C(5000000000);
    bool one_machine = strcmp(a->node.boot, b->node.boot) == 0;
    int64_t most = one_machine ? 0 : slack;
    return strcmp(a->node.run, b->node.run) == 0 && begun(a) <= written(b) + most &&
           begun(b) <= written(a) + most;
}

static void drop(flight_source_t *source) {
    flight_release(&source->node);
    free(source->path);
}

static int compare(const void *a, const void *b) {
    const flight_node_t *first = &((const flight_source_t *)a)->node,
                        *second = &((const flight_source_t *)b)->node;
    if (first->process != second->process) return first->process < second->process ? -1 : 1;
    return first->incarnation < second->incarnation ? -1 : first->incarnation > second->incarnation;
}

/* Keeps those that go together with the one that was written last, directly or by others between. */
static void choose_run(flight_files_t *files, bool *kept) {
    size_t newest = 0;
    bool more = true;
    for (size_t i = 1; i < files->count; i++)
        if (written(&files->sources[i]) > written(&files->sources[newest])) newest = i;
    kept[newest] = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < files->count; i++)
            for (size_t k = 0; k < files->count && !kept[i]; k++)
                if (kept[k] && go_together(&files->sources[i], &files->sources[k]))
                    kept[i] = more = true;
    }
}

static bool keep_one_run(flight_files_t *files) {
    bool *kept = calloc(files->count, sizeof *kept);
    size_t count = 0;
    if (!kept) return false;
    choose_run(files, kept);
    for (size_t i = 0; i < files->count; i++) {
        if (kept[i]) {
            files->sources[count++] = files->sources[i];
            continue;
        }
        message_error("%s: of another run than the newest file: left out", files->sources[i].path);
        drop(&files->sources[i]);
        files->left_out++;
    }
    free(kept);
    files->count = count;
    qsort(files->sources, count, sizeof *files->sources, compare);
    return true;
}

/* ---- the folder ---- */

/* false: out of memory. A file that cannot be read is named, and left out. */
static bool add(flight_files_t *files, const char *directory, const char *name) {
    char problem[FLIGHT_PROBLEM];
    size_t room = strlen(directory) + strlen(name) + 2;
    flight_source_t *grown = realloc(files->sources, (files->count + 1) * sizeof *grown);
    if (!grown) return false;
    files->sources = grown;
    flight_source_t *source = &grown[files->count];
    *source = (flight_source_t){.path = malloc(room)};
    if (!source->path) return false;
    snprintf(source->path, room, "%s/%s", directory, name);
    sgp_status_t status = flight_read(source->path, &source->node, problem);
    if (status == SGP_OK) {
        files->count++;
        return true;
    }
    message_error("%s: %s", source->path, problem);
    free(source->path);
    return status != SGP_ERR_NO_MEMORY;
}

static int out_of_memory(const char *directory) {
    message_error("flight: out of memory for the files of %s", directory);
    return EXIT_FAILED;
}

int flight_files_read(const char *directory, flight_files_t *files) {
    DIR *folder = opendir(directory);
    struct dirent *entry;
    size_t found = 0;
    bool memory = true;
    *files = (flight_files_t){.count = 0};
    if (!folder) {
        message_error("%s: cannot be opened: %s", directory, strerror(errno));
        return EXIT_MISTAKE;
    }
    while (memory && found < MOST_FILES && (entry = readdir(folder))) {
        if (!is_name(entry->d_name)) continue;
        found++;
        memory = add(files, directory, entry->d_name);
    }
    closedir(folder);
    if (!memory) return out_of_memory(directory);
    if (found == 0)
        message_error("%s: no flight-*.json there: nodes write them when a run fails, and on "
                      "SIGQUIT (Ctrl-\\)",
                      directory);
    if (files->count == 0) return EXIT_MISTAKE;
    return keep_one_run(files) ? 0 : out_of_memory(directory);
}

void flight_files_release(flight_files_t *files) {
    for (size_t i = 0; i < files->count; i++) drop(&files->sources[i]);
    free(files->sources);
    *files = (flight_files_t){.count = 0};
}
