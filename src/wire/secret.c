/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/secret.h"

#include <sodium.h>
#include <string.h>

void *sgp_secret_make(size_t bytes) {
    void *made = sodium_init() >= 0 ? sodium_malloc(bytes) : NULL;
    if (made) memset(made, 0, bytes);
    return made;
}

void sgp_secret_free(void *secret) {
    sodium_free(secret);
}
