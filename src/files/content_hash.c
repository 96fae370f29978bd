/* SPDX-License-Identifier: Apache-2.0 */
#include "files/content_hash.h"

#include "base/logging.h"

sgp_status_t content_hash_begin(content_hash_t *hash) {
    hash->state = XXH3_createState();
    if (!hash->state) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a hash");
    XXH3_128bits_reset(hash->state);
    return SGP_OK;
}

void content_hash_add(content_hash_t *hash, const void *bytes, size_t count) {
    XXH3_128bits_update(hash->state, bytes, count);
}

static void write_text(XXH128_hash_t value, char text[CONTENT_HASH_TEXT]) {
    static const char digits[] = "0123456789abcdef";
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, value);
    for (int i = 0; i < 16; i++) {
        text[2 * i] = digits[canonical.digest[i] >> 4];
        text[2 * i + 1] = digits[canonical.digest[i] & 15];
    }
    text[32] = '\0';
}

void content_hash_end(content_hash_t *hash, char text[CONTENT_HASH_TEXT]) {
    if (text) write_text(XXH3_128bits_digest(hash->state), text);
    XXH3_freeState(hash->state);
    hash->state = NULL;
}

void content_hash_of(const void *bytes, size_t count, char text[CONTENT_HASH_TEXT]) {
    write_text(XXH3_128bits(bytes, count), text);
}
