/* SPDX-License-Identifier: Apache-2.0 */
/* The key of a group: a secret of any length, hashed to the length that a MAC takes. Pure functions
 * over bytes. */
#ifndef SGP_WIRE_KEY_H
#define SGP_WIRE_KEY_H

#include "wire/guarded.h"

#include <sgp/status.h>
#include <stddef.h>

#define SGP_KEY_LEAST 16 /* bytes of a secret */

typedef struct sgp_key {
    unsigned char bytes[32];
} sgp_key_t;

/* secret: (length) borrowed. SGP_ERR_INVALID: shorter than SGP_KEY_LEAST; SGP_ERR_SYSTEM: libsodium
 * cannot be initialised; both logged, and *key is unchanged. */
sgp_status_t sgp_key_make(const void *secret, size_t length, sgp_key_t *key);

/* A copy in memory for secrets, to be freed with sgp_guarded_free. NULL: no memory. */
sgp_key_t *sgp_key_keep(const sgp_key_t *key);

/* As an editor or a shell leaves it: newlines at the end do not count. Errors as above. */
sgp_status_t sgp_key_of_text(const char *text, size_t length, sgp_key_t *key);

#endif
