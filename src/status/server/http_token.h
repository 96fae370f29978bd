/* SPDX-License-Identifier: Apache-2.0 */
/* The token that a server asks for: the contents of a file that only its owner may read. Never logged, never shown. */
#ifndef SGP_STATUS_SERVER_HTTP_TOKEN_H
#define SGP_STATUS_SERVER_HTTP_TOKEN_H

#include <sgp/status.h>
#include <stdbool.h>

typedef struct http_token {
    bool wanted;
    unsigned char hash[32]; /* of the token */
} http_token_t;

/* Reads a token file; spaces and newlines at its end do not count. file: NULL: no token is wanted. Sets *token on success
 * only. SGP_ERR_INVALID: others may read it, it is empty or too long. SGP_ERR_IO: it cannot be read; logged. */
sgp_status_t http_token_read(const char *file, http_token_t *token);

/* Whether the header Authorization (NULL: there is none) has the token, or none is wanted. In a time that does not
 * depend on how much of it is right. */
bool http_token_given(const http_token_t *token, const char *authorization);

#endif
