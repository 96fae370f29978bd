/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/seal.h"

#include "base/bytes.h"
#include "wire/guarded.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

enum { IV = 12, STACK = 16 << 10 };

/* In memory for secrets. libcrypto has the key schedule in memory of its own, which it erases. */
struct sgp_seal {
    EVP_CIPHER_CTX *context;
    bool encrypts, closes;
    uint64_t number; /* of the next record */
    unsigned char key[SGP_NOISE_KEY];
};

/* What the calls leave on the stack is erased: the dynamic linker, for one, saves the vector registers there when it binds a
 * function, and they hold the key. */
static bool set_key(sgp_seal_t *seal) {
    bool good = EVP_CipherInit_ex(seal->context, NULL, NULL, seal->key, NULL, seal->closes) == 1;
    sodium_stackzero(STACK);
    return good;
}

sgp_seal_t *sgp_seal_create(const unsigned char key[SGP_NOISE_KEY], sgp_seal_cipher_t cipher,
                            bool encrypts, bool closes) {
    sgp_seal_t *made = sgp_guarded_make(sizeof *made);
    if (!made) return NULL;
    made->encrypts = encrypts;
    made->closes = closes;
    memcpy(made->key, key, sizeof made->key);
    made->context = EVP_CIPHER_CTX_new();
    const EVP_CIPHER *kind = cipher == SGP_SEAL_AES ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
    if (made->context && EVP_CipherInit_ex(made->context, kind, NULL, NULL, NULL, closes) == 1 &&
        set_key(made))
        return made;
    sgp_seal_destroy(made);
    return NULL;
}

void sgp_seal_destroy(sgp_seal_t *seal) {
    if (!seal) return;
    EVP_CIPHER_CTX_free(seal->context);
    sgp_guarded_free(seal);
}

void sgp_seals_destroy(sgp_seals_t *seals) {
    sgp_seal_destroy(seals->out);
    sgp_seal_destroy(seals->in);
    *seals = (sgp_seals_t){.out = NULL};
}

/* After the last record under a key. The next one is a hash of it, so nobody comes back from there. */
static bool rekey(sgp_seal_t *seal) {
    static const char label[] = "sgp record key";
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, seal->key, sizeof seal->key);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)label, sizeof label - 1);
    crypto_auth_hmacsha256_final(&state, seal->key);
    sodium_memzero(&state, sizeof state);
    return set_key(seal);
}

/* With the number of the record as nonce; that of the one before under a new key is never met again. */
static bool begin(sgp_seal_t *seal) {
    unsigned char nonce[IV] = {0};
    if (seal->number > 0 && seal->number % SGP_SEAL_REKEY == 0 && !rekey(seal)) return false;
    sgp_bytes_put(nonce + IV - 8, seal->number++, 8);
    return EVP_CipherInit_ex(seal->context, NULL, NULL, NULL, nonce, seal->closes) == 1;
}

/* Authenticates the head; and in the clear the contents, or else moves them through the cipher. to: may be `from`. */
static bool pass(sgp_seal_t *seal, const unsigned char *head, const unsigned char *from,
                 size_t bytes, unsigned char *to) {
    EVP_CIPHER_CTX *context = seal->context;
    int count = (int)bytes, done;
    if (EVP_CipherUpdate(context, NULL, &done, head, SGP_SEAL_HEAD) != 1) return false;
    if (count == 0) return true;
    if (seal->encrypts) return EVP_CipherUpdate(context, to, &done, from, count) == 1;
    if (EVP_CipherUpdate(context, NULL, &done, from, count) != 1) return false;
    memcpy(to, from, bytes); /* now that it is in the cache */
    return true;
}

bool sgp_seal_close(sgp_seal_t *seal, const void *contents, size_t bytes, unsigned char *record) {
    unsigned char *to = record + SGP_SEAL_HEAD, none[1];
    int done;
    sgp_bytes_put(record, bytes, SGP_SEAL_HEAD);
    return bytes <= SGP_SEAL_MOST && begin(seal) && pass(seal, record, contents, bytes, to) &&
           EVP_CipherFinal_ex(seal->context, none, &done) == 1 &&
           EVP_CIPHER_CTX_ctrl(seal->context, EVP_CTRL_AEAD_GET_TAG, SGP_SEAL_TAG, to + bytes) == 1;
}

bool sgp_seal_measure(const unsigned char head[SGP_SEAL_HEAD], size_t *bytes) {
    uint64_t count = sgp_bytes_get(head, SGP_SEAL_HEAD);
    if (count > SGP_SEAL_MOST) return false;
    *bytes = (size_t)count;
    return true;
}

bool sgp_seal_arriving(const unsigned char *record, size_t have, size_t *bytes) {
    *bytes = SGP_SEAL_HEAD;
    if (have < SGP_SEAL_HEAD) return true;
    if (!sgp_seal_measure(record, bytes)) return false;
    *bytes += SGP_SEAL_OVERHEAD;
    return true;
}

bool sgp_seal_open(sgp_seal_t *seal, const unsigned char head[SGP_SEAL_HEAD],
                   const unsigned char *sealed, size_t bytes, void *contents) {
    unsigned char tag[SGP_SEAL_TAG], none[1];
    int done;
    memcpy(tag, sealed + bytes, sizeof tag);
    return begin(seal) &&
           EVP_CIPHER_CTX_ctrl(seal->context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
           pass(seal, head, sealed, bytes, contents) &&
           EVP_CipherFinal_ex(seal->context, none, &done) == 1;
}
