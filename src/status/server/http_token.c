/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/http_token.h"

#include "base/logging.h"
#include "base/regular.h"
#include "status/server/http_request.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void hash(const char *text, size_t length, unsigned char result[32]) {
    crypto_hash_sha256(result, (const unsigned char *)text, length);
}

static size_t without_end(const char *text, size_t length) {
    while (length > 0 && strchr(" \t\r\n", text[length - 1])) length--;
    return length;
}

static sgp_status_t read_open(const char *file, int descriptor, http_token_t *token) {
    char text[HTTP_PASSWORD + 1];
    struct stat about;
    if (fstat(descriptor, &about) != 0)
        return sgp_fail(SGP_ERR_IO, "token file %s: %s", file, strerror(errno));
    if (about.st_mode & (S_IRWXG | S_IRWXO))
        return sgp_fail(SGP_ERR_INVALID,
                        "token file %s: others may read it (mode %03o); chmod 600 %s", file,
                        about.st_mode & 0777u, file);
    ssize_t length = read(descriptor, text, sizeof text);
    if (length < 0) return sgp_fail(SGP_ERR_IO, "token file %s: %s", file, strerror(errno));
    size_t count = without_end(text, (size_t)length);
    if (count == 0)
        return sgp_fail(
            SGP_ERR_INVALID,
            "token file %s: is empty; make one by: (umask 077; openssl rand -hex 32 >%s)", file,
            file);
    if (length > HTTP_PASSWORD || memchr(text, '\0', count) || memchr(text, '\n', count))
        return sgp_fail(SGP_ERR_INVALID, "token file %s: must be one line of at most %d bytes",
                        file, HTTP_PASSWORD);
    hash(text, count, token->hash);
    token->wanted = true;
    sodium_memzero(text, sizeof text);
    return SGP_OK;
}

sgp_status_t http_token_read(const char *file, http_token_t *token) {
    char problem[SGP_REGULAR_PROBLEM];
    int descriptor;
    if (!file) {
        *token = (http_token_t){0};
        return SGP_OK;
    }
    sgp_status_t status = sgp_regular_open(file, &descriptor, problem);
    if (status != SGP_OK) return sgp_fail(SGP_ERR_IO, "token file %s %s", file, problem);
    status = read_open(file, descriptor, token);
    close(descriptor);
    return status;
}

bool http_token_given(const http_token_t *token, const char *authorization) {
    char password[HTTP_PASSWORD];
    unsigned char given[32];
    if (!token->wanted) return true;
    int length = authorization ? http_password(authorization, password) : -1;
    if (length < 0) return false;
    hash(password, (size_t)length, given);
    sodium_memzero(password, sizeof password);
    return sodium_memcmp(given, token->hash, sizeof given) == 0;
}
