/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/secret.h"

#include "base/logging.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_BYTES = 4096 };

static sgp_status_t cannot_read(const char *path) {
    return sgp_fail(SGP_ERR_INVALID, "key file %s: %s", path, strerror(errno));
}

static sgp_status_t check(const char *path, int file) {
    struct stat about;
    if (fstat(file, &about) != 0) return cannot_read(path);
    if (!S_ISREG(about.st_mode) || about.st_size > MOST_BYTES)
        return sgp_fail(SGP_ERR_INVALID, "key file %s: must be a file of at most %d bytes", path,
                        MOST_BYTES);
    if (about.st_mode & 077)
        return sgp_fail(SGP_ERR_INVALID,
                        "key file %s: others than its owner may use it (mode %04o): chmod 600 %s",
                        path, (unsigned)(about.st_mode & 07777), path);
    return SGP_OK;
}

static sgp_status_t read_secret(const char *path, int file, sgp_key_t *key) {
    char secret[MOST_BYTES];
    size_t length = 0;
    ssize_t got = 1;
    while (length < sizeof secret && got > 0) {
        got = read(file, secret + length, sizeof secret - length);
        if (got > 0) length += (size_t)got;
    }
    sgp_status_t status = got < 0 ? cannot_read(path) : sgp_key_of_text(secret, length, key);
    explicit_bzero(secret, sizeof secret);
    return status;
}

sgp_status_t sgp_secret_read(const char *path, sgp_key_t *key) {
    int file =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* does not wait for a pipe's writer */
    if (file < 0) return cannot_read(path);
    sgp_status_t status = check(path, file);
    if (status == SGP_OK) status = read_secret(path, file, key);
    close(file);
    return status;
}

sgp_status_t sgp_secret_find(const sgp_group_options_t *options, bool *keyed, sgp_key_t *key) {
    const char *text = options->key, *path = options->key_file;
    if (!text && !path) path = getenv("SGP_KEY_FILE");
    if (!text && !(path && *path)) text = getenv("SGP_KEY");
    *keyed = (path && *path) || (text && *text);
    if (!*keyed) return SGP_OK;
    return text && *text ? sgp_key_of_text(text, strlen(text), key) : sgp_secret_read(path, key);
}

static sgp_status_t parse_encryption(const char *text, sgp_encryption_t *encryption) {
    static const char *const words[] = {"auto", "on", "off"};
    for (int i = 0; i <= SGP_ENCRYPTION_OFF; i++) {
        *encryption = (sgp_encryption_t)i;
        if (strcmp(text, words[i]) == 0) return SGP_OK;
    }
    return sgp_fail(SGP_ERR_INVALID, "SGP_ENCRYPTION=%s: must be auto, on or off", text);
}

sgp_status_t sgp_secret_encryption(const sgp_group_options_t *options, bool keyed,
                                   sgp_encryption_t *encryption) {
    const char *text = getenv("SGP_ENCRYPTION");
    sgp_status_t status = SGP_OK;
    if (options->encryption > SGP_ENCRYPTION_LAST)
        return sgp_fail(SGP_ERR_INVALID, "group: there is no encryption %" PRIu64,
                        options->encryption);
    if (!options->encryption && text && *text) status = parse_encryption(text, encryption);
    else if (options->encryption == SGP_ENCRYPTION_AUTO_ALWAYS) *encryption = SGP_ENCRYPTION_AUTO;
    else *encryption = (sgp_encryption_t)options->encryption;
    if (status != SGP_OK || keyed || *encryption != SGP_ENCRYPTION_ON) return status;
    return sgp_fail(SGP_ERR_INVALID,
                    "encryption is on, and there is no key: give all nodes the same --key-file");
}
