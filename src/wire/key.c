/* SPDX-License-Identifier: Apache-2.0 */
#include "base/logging.h"
#include "wire/handshake.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Secrets are short; a file that is longer is not one. */
enum { LONGEST = 4096 };

/* Newlines at the end are the editor's, not the secret's. */
sgp_status_t sgp_key_of_text(const char *text, size_t length, sgp_key_t *key) {
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r')) length--;
    return sgp_key_make(text, length, key);
}

static sgp_status_t cannot_read(const char *path) {
    return sgp_fail(SGP_ERR_INVALID, "key file %s: %s", path, strerror(errno));
}

static sgp_status_t check(const char *path, int file) {
    struct stat found;
    if (fstat(file, &found) != 0) return cannot_read(path);
    if (!S_ISREG(found.st_mode) || found.st_size > LONGEST)
        return sgp_fail(SGP_ERR_INVALID, "key file %s: must be a file of at most %d bytes", path,
                        LONGEST);
    if (found.st_mode & 077)
        return sgp_fail(SGP_ERR_INVALID,
                        "key file %s: others than its owner may use it (mode %04o): chmod 600 %s",
                        path, (unsigned)(found.st_mode & 07777), path);
    return SGP_OK;
}

static sgp_status_t read_secret(const char *path, int file, sgp_key_t *key) {
    char secret[LONGEST];
    size_t length = 0;
    ssize_t got = 1;
    while (length < sizeof secret && got > 0) {
        got = read(file, secret + length, sizeof secret - length);
        if (got > 0) length += (size_t)got;
    }
    sgp_status_t status = got < 0 ? cannot_read(path) : sgp_key_of_text(secret, length, key);
    sodium_memzero(secret, sizeof secret);
    return status;
}

sgp_status_t sgp_key_read(const char *path, sgp_key_t *key) {
    int file =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
    if (file < 0) return cannot_read(path);
    sgp_status_t status = check(path, file);
    if (status == SGP_OK) status = read_secret(path, file, key);
    close(file);
    return status;
}
