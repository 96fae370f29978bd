/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/guarded.h"

#include <sodium.h>
#include <string.h>

void *sgp_guarded_make(size_t bytes) {
    void *made = sodium_init() >= 0 ? sodium_malloc(bytes) : NULL;
    if (made) memset(made, 0, bytes);
    return made;
}

void sgp_guarded_free(void *secret) {
    sodium_free(secret);
}
