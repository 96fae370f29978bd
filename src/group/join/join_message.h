/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of the join protocol, after the handshake (wire/handshake.h). The client sends its
 * endpoint, of a fixed size and without a header, and READY when it has all endpoints; the server
 * sends the other messages. Pure functions over bytes. */
#ifndef SGP_GROUP_JOIN_JOIN_MESSAGE_H
#define SGP_GROUP_JOIN_JOIN_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum sgp_join_message {
    SGP_JOIN_ADMITTED = 1, /* SGP_ADDRESS_TEXT: of the server, as others can reach it */
    SGP_JOIN_REDIRECT,     /* SGP_ADDRESS_TEXT: call there instead */
    SGP_JOIN_REFUSED,      /* SGP_VERDICT_BYTES: why */
    SGP_JOIN_ENDPOINTS,    /* 4: the receiver's rank; then all endpoints in order of rank */
    SGP_JOIN_READY,        /* empty: the sender accepts no more callers */
    SGP_JOIN_BEGIN,        /* empty: all are ready */
    SGP_JOIN_MESSAGE_LAST = SGP_JOIN_BEGIN,
} sgp_join_message_t;

#define SGP_JOIN_MESSAGE_HEADER 8 /* message, bytes that follow: both 4 bytes, little-endian */

void sgp_join_message_encode(sgp_join_message_t message, size_t bytes,
                             unsigned char header[SGP_JOIN_MESSAGE_HEADER]);

/* false: not a message, or more than `most` bytes follow; nothing is set. */
bool sgp_join_message_decode(const unsigned char header[SGP_JOIN_MESSAGE_HEADER], size_t most,
                             sgp_join_message_t *message, size_t *bytes);

#endif
