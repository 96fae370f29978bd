/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a connection once the handshake is over: where there is a key they travel in records (wire/seal.h), else as they
 * are. For connections that carry few messages; those that carry vectors use records.h. Not thread-safe. Called by group/join. */
#ifndef SGP_TRANSPORT_TCP_SEALED_H
#define SGP_TRANSPORT_TCP_SEALED_H

#include "wire/handshake.h"

#include <sys/types.h>

/* Embedded; zeros are a connection without a key. */
typedef struct sgp_sealed {
    sgp_seals_t seals; /* owned */
    unsigned char *in; /* a record's room; owned; NULL: not used yet */
    size_t have;       /* bytes of a record in it */
    size_t at, end;    /* contents of the record before, in it: not taken yet */
} sgp_sealed_t;

/* Of a handshake that is DONE. false: no memory; nothing is owned. */
bool sgp_sealed_begin(sgp_sealed_t *sealed, sgp_handshake_t *handshake);

void sgp_sealed_fini(sgp_sealed_t *sealed);

/* As recv: at most `wanted` bytes of contents, 0 at the end of the connection, or -1 and errno, EBADMSG where a record was
 * altered on the way. Never reads behind the record in which those bytes are. */
ssize_t sgp_sealed_receive(sgp_sealed_t *sealed, int socket, void *place, size_t wanted);

/* What to send for these bytes: *count bytes, the caller's to free. NULL: no memory. */
unsigned char *sgp_sealed_wrap(sgp_sealed_t *sealed, const void *bytes, size_t length,
                               size_t *count);

#endif
