/* SPDX-License-Identifier: Apache-2.0 */
#include "group/secret.h"

#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 64 << 10 };

static sgp_status_t make(const char *text, size_t length, sgp_key_t *key) {
    while (length > 0 && isspace((unsigned char)text[length - 1])) length--;
    return sgp_key_make(text, length, key);
}

static sgp_status_t cannot_read(const char *path) {
    return sgp_fail(errno == ENOENT ? SGP_ERR_NOT_FOUND : SGP_ERR_IO, "key file %s: %s", path,
                    strerror(errno));
}

/* The number of bytes, or -1. */
static ssize_t read_all(int file, char *text) {
    ssize_t length = 0, got = 1;
    while (got > 0 && length < MOST) {
        got = read(file, text + length, (size_t)(MOST - length));
        if (got > 0) length += got;
    }
    return got < 0 ? -1 : length;
}

static sgp_status_t from_file(const char *path, sgp_key_t *key) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return cannot_read(path);
    struct stat about;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & 077))
        sgp_log(SGP_LOG_WARNING, "key file %s: others may read it; chmod 600 keeps them out", path);
    char *text = malloc(MOST);
    ssize_t length = text ? read_all(file, text) : 0;
    sgp_status_t status = SGP_ERR_NO_MEMORY;
    if (text && length < 0) status = cannot_read(path);
    else if (text) status = make(text, (size_t)length, key);
    if (text) explicit_bzero(text, MOST);
    free(text);
    close(file);
    return status;
}

sgp_status_t sgp_secret_find(const sgp_group_options_t *options, bool *keyed, sgp_key_t *key) {
    const char *text = options->key, *path = options->key_file;
    if (!text && !path) path = getenv("SGP_KEY_FILE");
    if (!text && !(path && *path)) text = getenv("SGP_KEY");
    *keyed = (path && *path) || (text && *text);
    if (!*keyed) return SGP_OK;
    return text && *text ? make(text, strlen(text), key) : from_file(path, key);
}
