/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/class_file.h"

#include "base/logging.h"
#include "base/regular.h"
#include "data/source.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static sgp_status_t open_file(const char *path, FILE **file) {
    char problem[SGP_REGULAR_PROBLEM];
    int descriptor;
    sgp_status_t status = sgp_regular_open(path, &descriptor, problem);
    if (status == SGP_ERR_NOT_FOUND) return status;
    if (status) return sgp_fail(status, "%s: %s", path, problem);
    *file = fdopen(descriptor, "r");
    if (*file) return SGP_OK;
    close(descriptor);
    return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to read it", path);
}

static bool has_control(const char *line) {
    for (; *line; line++)
        if ((unsigned char)*line < ' ' || *line == 0x7f) return true;
    return false;
}

/* Empty lines at the end are no names; *empty counts those since the last name. */
static sgp_status_t add_line(const char *path, const char *line, size_t *empty, names_t *names) {
    if (*line == '\0') {
        ++*empty;
        return SGP_OK;
    }
    size_t number = names->count + *empty + 1;
    if (*empty > 0)
        return sgp_fail(SGP_ERR_FORMAT, "%s: line %zu is empty: should be the name of a class",
                        path, number - 1);
    if (has_control(line))
        return sgp_fail(SGP_ERR_FORMAT, "%s: line %zu has a control character", path, number);
    if (names->count == SOURCE_MAX_CLASSES)
        return sgp_fail(SGP_ERR_FORMAT, "%s: more than %d lines", path, SOURCE_MAX_CLASSES);
    if (names_add(names, line) == SGP_OK) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to read it", path);
}

sgp_status_t class_file_read(const char *directory, const char *name, names_t *names) {
    char path[PATH_MAX];
    FILE *file;
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= PATH_MAX)
        return sgp_fail(SGP_ERR_FORMAT, "%s/%s: the path is too long", directory, name);
    sgp_status_t status = open_file(path, &file);
    if (status) return status;
    char line[1024]; /* a longer line is taken for two, and a file name is shorter */
    size_t empty = 0;
    while (!status && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = '\0';
        status = add_line(path, line, &empty, names);
    }
    if (!status && ferror(file)) status = sgp_fail(SGP_ERR_IO, "%s: cannot be read", path);
    fclose(file);
    return status;
}

sgp_status_t class_file_names(const char *directory, const char *name, int classes,
                              names_t *names) {
    sgp_status_t status = class_file_read(directory, name, names);
    if (!status && names->count != (size_t)classes)
        return sgp_fail(SGP_ERR_FORMAT, "%s/%s: names %zu classes: should be %d", directory, name,
                        names->count, classes);
    if (status != SGP_ERR_NOT_FOUND) return status;
    for (int i = 0; i < classes; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        if (names_add(names, number))
            return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", directory);
    }
    return SGP_OK;
}
