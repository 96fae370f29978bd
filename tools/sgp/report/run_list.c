/* SPDX-License-Identifier: Apache-2.0 */
#include "report/run_list.h"

#include "cli/exit_status.h"
#include "cli/message.h"
#include "report/report_read.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes ownership of path; NULL: out of memory. */
static bool append(run_list_t *list, char *path) {
    char **more =
        path ? realloc(list->directories, ((size_t)list->count + 1) * sizeof *more) : NULL;
    if (more) list->directories = more;
    if (more) more[list->count++] = path;
    else {
        message_error("out of memory for %d runs", list->count + 1);
        free(path);
    }
    return more;
}

static char *join(const char *directory, const char *name) {
    size_t length = strlen(directory);
    char *path = NULL;
    const char *slash = length && directory[length - 1] == '/' ? "" : "/";
    return asprintf(&path, "%s%s%s", directory, slash, name) >= 0 ? path : NULL;
}

/* Returns 0 even if none of them is a run. */
static int add_inside(run_list_t *list, const char *directory, struct dirent **entries, int count) {
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] == '.') continue;
        char *path = join(directory, entries[i]->d_name);
        bool run = path && report_is_run(path);
        if (path && !run) free(path);
        else if (!append(list, path)) return EXIT_FAILED;
    }
    return 0;
}

int run_list_add(run_list_t *list, const char *directory) {
    struct dirent **entries = NULL;
    int before = list->count;
    if (report_is_run(directory)) return append(list, strdup(directory)) ? 0 : EXIT_FAILED;
    int count = scandir(directory, &entries, NULL, alphasort);
    if (count < 0) {
        message_error("%s: not the directory of a run: %s", directory, strerror(errno));
        return EXIT_MISTAKE;
    }
    int status = add_inside(list, directory, entries, count);
    for (int i = 0; i < count; i++) free(entries[i]);
    free(entries);
    if (status || list->count > before) return status;
    message_error("%s: not the directory of a run or of runs", directory);
    return EXIT_MISTAKE;
}

void run_list_release(run_list_t *list) {
    for (int i = 0; i < list->count; i++) free(list->directories[i]);
    free(list->directories);
    *list = (run_list_t){0};
}
