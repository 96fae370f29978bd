/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake Noise_NNpsk0_25519_ChaChaPoly_SHA256 of the Noise Protocol Framework, revision 34 (noiseprotocol.org). Both sides
 * know the key of the group, and make session keys of it and of two fresh X25519 keys: who learns the key later cannot read what
 * was sent before.
 *
 *     initiator                          responder
 *     psk, e, sealed payload   ->
 *                              <-        e, ee, sealed payload
 *
 * After the second message both hold the same two session keys. The responder is proven by the second message. The first can be a
 * recording: the initiator is proven once it has sent something under its session key.
 *
 * The primitives are libsodium's, initialised before (sodium_init). Pure functions over bytes: no allocation, no log. A state has
 * secrets, so it lies in memory of wire/guarded.h. For handshake.c. */
#ifndef SGP_WIRE_NOISE_H
#define SGP_WIRE_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_NOISE_KEY 32
#define SGP_NOISE_TAG 16
#define SGP_NOISE_OVERHEAD                                                                         \
    (SGP_NOISE_KEY + SGP_NOISE_TAG) /* bytes of a message beyond its payload */

/* Private. */
typedef struct sgp_noise {
    bool initiator;
    int messages;                           /* sent and received */
    uint64_t nonce;                         /* under `key` */
    unsigned char key[SGP_NOISE_KEY];       /* of payloads */
    unsigned char chaining[SGP_NOISE_KEY];  /* the chaining key, ck */
    unsigned char hash[SGP_NOISE_KEY];      /* of all that both sides have seen, h */
    unsigned char psk[SGP_NOISE_KEY];       /* the group's key */
    unsigned char ephemeral[SGP_NOISE_KEY]; /* our X25519 secret */
    unsigned char theirs[SGP_NOISE_KEY];    /* their X25519 public key */
} sgp_noise_t;

/* prologue: (bytes) what both sides have seen already, and must agree on. ephemeral: our X25519 secret, NULL: a random one, but
 * for tests. All is copied. */
void sgp_noise_init(sgp_noise_t *noise, bool initiator, const unsigned char psk[SGP_NOISE_KEY],
                    const void *prologue, size_t bytes,
                    const unsigned char ephemeral[SGP_NOISE_KEY]);

/* message: (bytes + SGP_NOISE_OVERHEAD) the next one, with the payload (bytes). It is this side's turn. false: their public key is
 * worthless (of low order). */
bool sgp_noise_write(sgp_noise_t *noise, const void *payload, size_t bytes, unsigned char *message);

/* payload: (bytes) that of the next message (bytes + SGP_NOISE_OVERHEAD). It is the other side's turn. false: it was made with
 * another key, for another prologue, or was altered; the state is of no use then. */
bool sgp_noise_read(sgp_noise_t *noise, const unsigned char *message, size_t bytes, void *payload);

/* After both messages: the keys of what the initiator sends, and of what the responder sends. */
void sgp_noise_split(const sgp_noise_t *noise, unsigned char initiator[SGP_NOISE_KEY],
                     unsigned char responder[SGP_NOISE_KEY]);

/* sealed: (bytes + SGP_NOISE_TAG) ChaCha20-Poly1305 under a session key and a nonce that is used once. `with`: (with_bytes)
 * authenticated, too, and not sent. */
void sgp_noise_seal(const unsigned char key[SGP_NOISE_KEY], uint64_t nonce, const void *with,
                    size_t with_bytes, const void *plain, size_t bytes, unsigned char *sealed);

/* plain: (bytes) of `sealed` (bytes + SGP_NOISE_TAG). false: it was altered. */
bool sgp_noise_open(const unsigned char key[SGP_NOISE_KEY], uint64_t nonce, const void *with,
                    size_t with_bytes, const unsigned char *sealed, size_t bytes, void *plain);

#endif
