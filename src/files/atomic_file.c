/* SPDX-License-Identifier: Apache-2.0 */
#include "files/atomic_file.h"

#include "base/logging.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static sgp_status_t fail(const char *path, const char *participle) {
    return sgp_fail(SGP_ERR_IO, "%s: cannot be %s: %s", path, participle, strerror(errno));
}

static sgp_status_t join(const char *directory, const char *name, const char *suffix,
                         char path[PATH_MAX]) {
    if (snprintf(path, PATH_MAX, "%s/%s%s", directory, name, suffix) < PATH_MAX) return SGP_OK;
    return sgp_fail(SGP_ERR_IO, "%s/%s: the path is longer than %d bytes", directory, name,
                    PATH_MAX - 1);
}

static sgp_status_t write_all(int file, const char *path, const void *bytes, size_t count) {
    const uint8_t *next = bytes;
    while (count > 0) {
        ssize_t written = write(file, next, count < INT_MAX ? count : INT_MAX);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return fail(path, "written");
        next += written;
        count -= (size_t)written;
    }
    return SGP_OK;
}

/* close may report an error that a network file system has delayed. */
static sgp_status_t finish(int file, const char *path, sgp_status_t status, bool sync) {
    if (!status && sync && fsync(file) != 0) status = fail(path, "written");
    if (close(file) != 0 && !status) status = fail(path, "written");
    return status;
}

/* Forces the new entry to the disk. EINVAL: the file system cannot sync a directory. */
static sgp_status_t sync_directory(const char *directory) {
    int handle = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle < 0) return fail(directory, "opened");
    sgp_status_t status = SGP_OK;
    if (fsync(handle) != 0 && errno != EINVAL) status = fail(directory, "written");
    close(handle);
    return status;
}

sgp_status_t atomic_file_replace(const char *directory, const char *name,
                                 const atomic_file_part_t *parts, int count) {
    char path[PATH_MAX], part_path[PATH_MAX], suffix[32];
    snprintf(suffix, sizeof suffix, ".%ld.part", (long)getpid());
    sgp_status_t status = join(directory, name, "", path);
    if (!status) status = join(directory, name, suffix, part_path);
    if (status) return status;
    unlink(part_path); /* of a killed process */
    int file = open(part_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0) return fail(part_path, "written");
    for (int i = 0; i < count && !status; i++)
        status = write_all(file, path, parts[i].bytes, parts[i].count);
    status = finish(file, path, status, true);
    if (!status && rename(part_path, path) != 0) status = fail(path, "replaced");
    if (status) {
        unlink(part_path);
        return status;
    }
    return sync_directory(directory);
}

bool atomic_file_is_part(const char *file, const char *name) {
    size_t length = strlen(name);
    if (strncmp(file, name, length) != 0) return false;
    const char *rest = file + length;
    if (rest[0] == '.' && isdigit((unsigned char)rest[1]))
        rest += 1 + strspn(rest + 1, "0123456789");
    return strcmp(rest, ".part") == 0;
}

static sgp_status_t append(const char *directory, const char *name, const void *bytes, size_t count,
                           bool sync) {
    char path[PATH_MAX];
    sgp_status_t status = join(directory, name, "", path);
    if (status) return status;
    int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    struct stat before;
    if (file < 0) return fail(path, "written");
    if (fstat(file, &before) != 0) status = fail(path, "written");
    else {
        status = write_all(file, path, bytes, count);
        if (status && S_ISREG(before.st_mode) && ftruncate(file, before.st_size) != 0)
            sgp_log(SGP_LOG_WARNING, "%s: its last line may be cut: %s", path, strerror(errno));
    }
    return finish(file, path, status, sync);
}

sgp_status_t atomic_file_append(const char *directory, const char *name, const void *bytes,
                                size_t count) {
    return append(directory, name, bytes, count, true);
}

sgp_status_t atomic_file_grow(const char *directory, const char *name, const void *bytes,
                              size_t count) {
    return append(directory, name, bytes, count, false);
}

sgp_status_t atomic_file_remove(const char *directory, const char *name) {
    char path[PATH_MAX];
    sgp_status_t status = join(directory, name, "", path);
    if (status || unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR) return status;
    return fail(path, "removed");
}

sgp_status_t atomic_file_make_directory(const char *directory, const char *name) {
    char path[PATH_MAX];
    struct stat found;
    sgp_status_t status = join(directory, name, "", path);
    if (status) return status;
    if (mkdir(path, 0777) == 0) return sync_directory(directory);
    if (errno == EEXIST && stat(path, &found) == 0 && !S_ISDIR(found.st_mode)) errno = ENOTDIR;
    return errno == EEXIST ? SGP_OK : fail(path, "made");
}
