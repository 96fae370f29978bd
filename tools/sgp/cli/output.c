/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include "cli/message.h"

#include "files/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void output_name(const char *model, const char *algorithm, char path[OUTPUT_PATH]) {
    char when[32];
    time_t now = time(NULL);
    struct tm local;
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", localtime_r(&now, &local));
    char names[64]; /* a schedule such as "0:allreduce,5:sgp" would be awkward in a shell */
    snprintf(names, sizeof names, "%s", algorithm);
    for (char *at = names; *at; at++)
        if (*at == ':' || *at == ',') *at = '-';
    snprintf(path, OUTPUT_PATH, "runs/%s-%s-%s", model, names, when);
    struct stat stat_buffer;
    for (int i = 2; stat(path, &stat_buffer) == 0 && i < 1000; i++)
        snprintf(path, OUTPUT_PATH, "runs/%s-%s-%s-%d", model, names, when, i);
}

/* mkdir -p. Sets errno on failure. */
static bool make_directories(const char *path) {
    char part[OUTPUT_PATH];
    struct stat stat_buffer;
    if (strlen(path) >= sizeof part) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (size_t i = 1; i <= strlen(path); i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) == 0 || errno == EEXIST) continue;
        int error = errno; /* of mkdir; stat would only say that the directory is missing */
        if (stat(part, &stat_buffer) == 0) continue;
        errno = error;
        return false;
    }
    if (stat(path, &stat_buffer) != 0) return false;
    if (!S_ISDIR(stat_buffer.st_mode)) errno = ENOTDIR;
    return S_ISDIR(stat_buffer.st_mode);
}

/* Whether a small file can be written there, so that a full disk is noticed before hours of training. */
static bool try_to_write(const char *path, size_t bytes) {
    static const char zeros[OUTPUT_ROOM];
    char name[OUTPUT_PATH + 16];
    snprintf(name, sizeof name, "%s/.sgp-XXXXXX", path);
    int file = mkstemp(name);
    if (file < 0) return false;
    errno = 0;
    ssize_t written = write(file, zeros, bytes);
    int error = written < 0 ? errno : written < (ssize_t)bytes ? ENOSPC : 0;
    if (close(file) != 0 && !error) error = errno;
    unlink(name);
    errno = error;
    return error == 0;
}

bool output_prepare(const char *path, size_t bytes) {
    if (!make_directories(path)) {
        message_error("--output %s: cannot be made: %s", path, strerror(errno));
        return false;
    }
    if (!try_to_write(path, bytes)) {
        message_error("--output %s: cannot be written: %s", path, strerror(errno));
        return false;
    }
    return true;
}

bool output_json(const json_t *json, size_t flags) {
    char *text = json ? json_dumps(json, JSON_COMPACT | flags) : NULL;
    bool printed = text && !files_json_failed() && puts(text) != EOF;
    free(text);
    return printed;
}
