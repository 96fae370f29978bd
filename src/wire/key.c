/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/key.h"

#include "base/logging.h"

#include <sodium.h>

sgp_status_t sgp_key_make(const void *secret, size_t length, sgp_key_t *key) {
    static const char label[] = "sgp key 1";
    if (length < SGP_KEY_LEAST)
        return sgp_fail(SGP_ERR_INVALID, "a key of %zu bytes: must have at least %d", length,
                        SGP_KEY_LEAST);
    if (sodium_init() < 0) return sgp_fail(SGP_ERR_SYSTEM, "libsodium cannot be initialised");
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, NULL, 0, sizeof key->bytes);
    crypto_generichash_update(&hash, (const unsigned char *)label, sizeof label);
    crypto_generichash_update(&hash, secret, length);
    crypto_generichash_final(&hash, key->bytes, sizeof key->bytes);
    return SGP_OK;
}

sgp_key_t *sgp_key_keep(const sgp_key_t *key) {
    sgp_key_t *kept = sgp_guarded_make(sizeof *kept);
    if (kept) *kept = *key;
    return kept;
}

sgp_status_t sgp_key_of_text(const char *text, size_t length, sgp_key_t *key) {
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r')) length--;
    return sgp_key_make(text, length, key);
}
