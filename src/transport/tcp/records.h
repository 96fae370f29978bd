/* SPDX-License-Identifier: Apache-2.0 */
/* The records (wire/seal.h) of a connection that carries vectors. A vector passes through the cipher once on each side: from where
 * it lies into a buffer of one record that stays in the cache, and from there to its place.
 *
 * A record is the head of a chunk, or a part of its payload, or whole frames: so a record is decrypted to where its contents
 * belong before it is known to be genuine, and nobody looks at them until it is. Nothing is read behind the record that is
 * arriving, except the next one's head. Called by connection.c. Not thread-safe. */
#ifndef SGP_TRANSPORT_TCP_RECORDS_H
#define SGP_TRANSPORT_TCP_RECORDS_H

#include "transport/tcp/frame.h"
#include "wire/handshake.h"

#include <sys/types.h>

/* Embedded; zeros: the connection has no key, and nothing here is called. */
typedef struct sgp_records {
    sgp_seals_t seals;  /* owned */
    unsigned char *out; /* owned; to be sent: [out_at, out_end) */
    size_t out_at, out_end;
    size_t meant;      /* bytes of frames or of a chunk that they stand for */
    unsigned char *in; /* owned; of the record that is arriving */
    size_t have;
} sgp_records_t;

static inline bool sgp_records_are_used(const sgp_records_t *records) {
    return records->seals.out;
}

/* Of a handshake that is DONE; without a key they stay zeros. false: no memory. */
bool sgp_records_begin(sgp_records_t *records, sgp_handshake_t *handshake);
void sgp_records_fini(sgp_records_t *records);

/* ---- sending ---- */

static inline bool sgp_records_are_sent(const sgp_records_t *records) {
    return records->out_at == records->out_end;
}

/* All are sent. The next ones: of frames (bytes), as many as fit; false: the cipher has failed. */
bool sgp_records_add_frames(sgp_records_t *records, const unsigned char *frames, size_t bytes);

/* The same of a chunk, of which `done` bytes are sent: head (head_bytes), then payload (payload_bytes). */
bool sgp_records_add_chunk(sgp_records_t *records, const unsigned char *head, size_t head_bytes,
                           const unsigned char *payload, size_t payload_bytes, size_t done);

/* As send. *meant: bytes that are sent with this call, once all are; else 0. */
ssize_t sgp_records_send(sgp_records_t *records, int socket, size_t *meant);

/* ---- receiving ---- */

/* As recv: bytes that were read, 0 at the end of the connection, or -1 and errno, EBADMSG where the record was altered on the way.
 * The contents of a whole record go to the stream. *more: as many bytes as were asked for, so there may be more. */
ssize_t sgp_records_receive(sgp_records_t *records, int socket, sgp_stream_t *stream, bool *more);

#endif
