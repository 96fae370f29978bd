/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/noise.h"

#include "base/bytes.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

_Static_assert(crypto_hash_sha256_BYTES == SGP_NOISE_KEY, "a hash is as long as a key");
_Static_assert(crypto_scalarmult_BYTES == SGP_NOISE_KEY, "and so is a secret of two");
_Static_assert(crypto_aead_chacha20poly1305_ietf_ABYTES == SGP_NOISE_TAG, "of a payload");

/* The words in capitals are those of the specification, section 5. */
enum { KEY = SGP_NOISE_KEY };

/* ---- primitives ---- */

static void hmac(const unsigned char key[KEY], const unsigned char *one, size_t one_bytes,
                 unsigned char two, size_t two_bytes, unsigned char result[KEY]) {
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key, KEY);
    crypto_auth_hmacsha256_update(&state, one, one_bytes);
    crypto_auth_hmacsha256_update(&state, &two, two_bytes);
    crypto_auth_hmacsha256_final(&state, result);
    sodium_memzero(&state, sizeof state);
}

/* HKDF with so many results, 2 or 3. input: (bytes) */
static void hkdf(const unsigned char chaining[KEY], const unsigned char *input, size_t bytes,
                 int count, unsigned char results[][KEY]) {
    unsigned char key[KEY];
    hmac(chaining, input, bytes, 0, 0, key);
    hmac(key, NULL, 0, 1, 1, results[0]);
    for (int i = 1; i < count; i++)
        hmac(key, results[i - 1], KEY, (unsigned char)(i + 1), 1, results[i]);
    sodium_memzero(key, sizeof key);
}

static void make_nonce(uint64_t nonce, unsigned char bytes[12]) {
    memset(bytes, 0, 4);
    sgp_bytes_put(bytes + 4, nonce, 8);
}

void sgp_noise_seal(const unsigned char key[KEY], uint64_t nonce, const void *with,
                    size_t with_bytes, const void *plain, size_t bytes, unsigned char *sealed) {
    unsigned char counter[12];
    make_nonce(nonce, counter);
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, plain, bytes, with, with_bytes, NULL,
                                              counter, key);
}

bool sgp_noise_open(const unsigned char key[KEY], uint64_t nonce, const void *with,
                    size_t with_bytes, const unsigned char *sealed, size_t bytes, void *plain) {
    unsigned char counter[12];
    make_nonce(nonce, counter);
    return crypto_aead_chacha20poly1305_ietf_decrypt(plain, NULL, NULL, sealed,
                                                     bytes + SGP_NOISE_TAG, with, with_bytes,
                                                     counter, key) == 0;
}

/* ---- the symmetric state ---- */

/* MixHash */
static void mix_hash(sgp_noise_t *noise, const void *data, size_t bytes) {
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, noise->hash, KEY);
    crypto_hash_sha256_update(&state, data, bytes);
    crypto_hash_sha256_final(&state, noise->hash);
}

static void set_key(sgp_noise_t *noise, const unsigned char key[KEY]) {
    memcpy(noise->key, key, KEY);
    noise->nonce = 0;
}

/* MixKey */
static void mix_key(sgp_noise_t *noise, const unsigned char input[KEY]) {
    unsigned char made[2][KEY];
    hkdf(noise->chaining, input, KEY, 2, made);
    memcpy(noise->chaining, made[0], KEY);
    set_key(noise, made[1]);
    sodium_memzero(made, sizeof made);
}

/* MixKeyAndHash */
static void mix_psk(sgp_noise_t *noise) {
    unsigned char made[3][KEY];
    hkdf(noise->chaining, noise->psk, KEY, 3, made);
    memcpy(noise->chaining, made[0], KEY);
    mix_hash(noise, made[1], KEY);
    set_key(noise, made[2]);
    sodium_memzero(made, sizeof made);
}

/* The token e, of either side; with a psk the public key makes a key as well. */
static void mix_public(sgp_noise_t *noise, const unsigned char public[KEY]) {
    mix_hash(noise, public, KEY);
    mix_key(noise, public);
}

/* The token ee. */
static bool mix_shared(sgp_noise_t *noise) {
    unsigned char shared[KEY];
    bool good = crypto_scalarmult(shared, noise->ephemeral, noise->theirs) == 0;
    if (good) mix_key(noise, shared);
    sodium_memzero(shared, sizeof shared);
    return good;
}

/* ---- the calls ---- */

void sgp_noise_init(sgp_noise_t *noise, bool initiator, const unsigned char psk[KEY],
                    const void *prologue, size_t bytes, const unsigned char ephemeral[KEY]) {
    static const char name[] = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
    *noise = (sgp_noise_t){.initiator = initiator};
    crypto_hash_sha256(noise->hash, (const unsigned char *)name, sizeof name - 1);
    memcpy(noise->chaining, noise->hash, KEY);
    mix_hash(noise, prologue, bytes);
    memcpy(noise->psk, psk, KEY);
    if (ephemeral) memcpy(noise->ephemeral, ephemeral, KEY);
    else randombytes_buf(noise->ephemeral, KEY);
}

/* The tokens of a message up to its payload. public: of its sender. */
static bool mix_tokens(sgp_noise_t *noise, const unsigned char public[KEY]) {
    if (noise->messages == 0) mix_psk(noise);
    mix_public(noise, public);
    return noise->messages == 0 || mix_shared(noise);
}

bool sgp_noise_write(sgp_noise_t *noise, const void *payload, size_t bytes,
                     unsigned char *message) {
    assert(noise->messages == !noise->initiator);
    unsigned char *sealed = message + KEY;
    crypto_scalarmult_base(message, noise->ephemeral);
    if (!mix_tokens(noise, message)) return false;
    sgp_noise_seal(noise->key, noise->nonce++, noise->hash, KEY, payload, bytes, sealed);
    mix_hash(noise, sealed, bytes + SGP_NOISE_TAG);
    noise->messages++;
    return true;
}

bool sgp_noise_read(sgp_noise_t *noise, const unsigned char *message, size_t bytes, void *payload) {
    assert(noise->messages == noise->initiator);
    const unsigned char *sealed = message + KEY;
    memcpy(noise->theirs, message, KEY);
    if (!mix_tokens(noise, message)) return false;
    if (!sgp_noise_open(noise->key, noise->nonce++, noise->hash, KEY, sealed, bytes, payload))
        return false;
    mix_hash(noise, sealed, bytes + SGP_NOISE_TAG);
    noise->messages++;
    return true;
}

void sgp_noise_split(const sgp_noise_t *noise, unsigned char initiator[KEY],
                     unsigned char responder[KEY]) {
    unsigned char made[2][KEY];
    assert(noise->messages == 2);
    hkdf(noise->chaining, NULL, 0, 2, made);
    memcpy(initiator, made[0], KEY);
    memcpy(responder, made[1], KEY);
    sodium_memzero(made, sizeof made);
}
