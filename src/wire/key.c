/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "wire/handshake.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Secrets are short; a file that is longer is not one. */
enum { LONGEST = 4096 };

static sgp_status_t check(const char *path, int file) {
    struct stat found;
    if (fstat(file, &found) != 0)
        return sgp_fail(SGP_ERR_INVALID, "key file %s: %s", path, strerror(errno));
    if (found.st_mode & 077)
        return sgp_fail(SGP_ERR_INVALID, "key file %s: others can read it: chmod 600 %s", path,
                        path);
    if (!S_ISREG(found.st_mode) || found.st_size > LONGEST)
        return sgp_fail(SGP_ERR_INVALID, "key file %s: must be a file of at most %d bytes", path,
                        LONGEST);
    return SGP_OK;
}

static sgp_status_t read_secret(const char *path, int file, sgp_key_t *key) {
    unsigned char secret[LONGEST];
    size_t length = 0;
    ssize_t got = 1;
    while (length < sizeof secret && got > 0) {
        got = read(file, secret + length, sizeof secret - length);
        if (got > 0) length += (size_t)got;
    }
    sgp_status_t status = SGP_OK;
    if (got < 0) status = sgp_fail(SGP_ERR_INVALID, "key file %s: %s", path, strerror(errno));
    while (length > 0 && (secret[length - 1] == '\n' || secret[length - 1] == '\r')) length--;
    if (status == SGP_OK) status = sgp_key_make(secret, length, key);
    sodium_memzero(secret, sizeof secret);
    return status;
}

sgp_status_t sgp_key_read(const char *path, sgp_key_t *key) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return sgp_fail(SGP_ERR_INVALID, "key file %s: %s", path, strerror(errno));
    sgp_status_t status = check(path, file);
    if (status == SGP_OK) status = read_secret(path, file, key);
    close(file);
    return status;
}
