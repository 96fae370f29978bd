/* SPDX-License-Identifier: Apache-2.0 */
#include "base/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static sgp_status_t cannot_open(int error, char problem[SGP_REGULAR_PROBLEM]) {
    snprintf(problem, SGP_REGULAR_PROBLEM, "cannot be opened: %s", strerror(error));
    return error == ENOENT || error == ENOTDIR ? SGP_ERR_NOT_FOUND : SGP_ERR_IO;
}

static sgp_status_t check_kind(const struct stat *found, char problem[SGP_REGULAR_PROBLEM]) {
    if (S_ISREG(found->st_mode)) return SGP_OK;
    const char *kind = S_ISDIR(found->st_mode) ? "is a directory" : "is not a regular file";
    snprintf(problem, SGP_REGULAR_PROBLEM, "%s", kind);
    return SGP_ERR_FORMAT;
}

/* Looked at before and after: a device is not even opened, and what replaces the file in between
 * does not block. */
sgp_status_t sgp_regular_open(const char *path, int *descriptor,
                              char problem[SGP_REGULAR_PROBLEM]) {
    struct stat found;
    if (stat(path, &found) != 0) return cannot_open(errno, problem);
    sgp_status_t status = check_kind(&found, problem);
    if (status) return status;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return cannot_open(errno, problem);
    if (fstat(file, &found) != 0) status = cannot_open(errno, problem);
    else status = check_kind(&found, problem);
    if (status) close(file);
    else *descriptor = file;
    return status;
}
