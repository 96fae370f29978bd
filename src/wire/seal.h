/* SPDX-License-Identifier: Apache-2.0 */
/* Records: what one side of a connection sends after the handshake where there is a key. Nobody on the way can alter, repeat,
 * reorder, leave out or add a record without being noticed, nor read it if it is encrypted. A record is
 *
 *     at  bytes  field
 *      0    4    n, the bytes of the contents, little-endian
 *      4    n    the contents, encrypted or in the clear
 *    4+n   16    tag of the AEAD over the first 4 bytes (and the contents, where they are in the clear)
 *
 * The AEAD is AES-256-GCM where both CPUs have instructions for AES, else ChaCha20-Poly1305; both are libcrypto's (RFC 5116,
 * RFC 8439). The nonce is the number of the record, which both sides count and nobody sends. After SGP_SEAL_REKEY records both go
 * on with the next key, made of the present one, so that a key is used for 4 GiB at most. The end of a connection is not
 * authenticated: whoever needs to know whether it was cut off says its last word in a record.
 *
 * One direction of one connection. Not thread-safe. For the transport tcp and the join protocol. */
#ifndef SGP_WIRE_SEAL_H
#define SGP_WIRE_SEAL_H

#include "wire/noise.h"

#define SGP_SEAL_HEAD     4
#define SGP_SEAL_TAG      16
#define SGP_SEAL_OVERHEAD (SGP_SEAL_HEAD + SGP_SEAL_TAG)
#define SGP_SEAL_MOST     ((size_t)128 << 10) /* bytes of a record's contents */
#define SGP_SEAL_REKEY    ((uint64_t)1 << 15)

typedef enum sgp_seal_cipher {
    SGP_SEAL_AES, /* AES-256-GCM */
    SGP_SEAL_CHACHA,
} sgp_seal_cipher_t;

typedef struct sgp_seal sgp_seal_t;

/* Of a connection, both directions. Without a key: NULL, and bytes travel as they are. */
typedef struct sgp_seals {
    sgp_seal_t *out, *in;
    bool encrypted; /* or else authenticated alone */
} sgp_seals_t;

/* key: (SGP_NOISE_KEY) copied. encrypts: or else the contents travel in the clear, and are authenticated. closes: for sending,
 * or else for receiving. NULL: no memory, or libcrypto does not have the cipher. */
sgp_seal_t *sgp_seal_create(const unsigned char key[SGP_NOISE_KEY], sgp_seal_cipher_t cipher,
                            bool encrypts, bool closes);

/* Erases the key. NULL is fine. */
void sgp_seal_destroy(sgp_seal_t *seal);

/* Destroys both, and sets them to NULL. */
void sgp_seals_destroy(sgp_seals_t *seals);

/* record: (bytes + SGP_SEAL_OVERHEAD) the next one. contents: (bytes) SGP_SEAL_MOST at most. false: libcrypto has failed, and
 * nothing may be sent any more. */
bool sgp_seal_close(sgp_seal_t *seal, const void *contents, size_t bytes, unsigned char *record);

/* Bytes of the contents of the record with this head; false: no record has so many. */
bool sgp_seal_measure(const unsigned char head[SGP_SEAL_HEAD], size_t *bytes);

/* Bytes of the record of which the first `have` have arrived in `record`: those of its head, until that is whole. false: its head
 * is that of no record. */
bool sgp_seal_arriving(const unsigned char *record, size_t have, size_t *bytes);

/* contents: (bytes) of the next record, whose head is `head` and whose rest is `sealed` (bytes + SGP_SEAL_TAG). false: it is
 * not the next record of this connection's other side; what is in `contents` then must not be used. */
bool sgp_seal_open(sgp_seal_t *seal, const unsigned char head[SGP_SEAL_HEAD],
                   const unsigned char *sealed, size_t bytes, void *contents);

#endif
