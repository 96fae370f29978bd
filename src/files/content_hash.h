/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3, 128 bits, as text: for telling whether two runs or two files hold the same bits. */
#ifndef SGP_FILES_CONTENT_HASH_H
#define SGP_FILES_CONTENT_HASH_H

#include <sgp/status.h>
#include <stddef.h>
#include <xxhash.h>

enum { HASH_TEXT = 33 }; /* hexadecimal digits, and a zero byte */

typedef struct hash {
    XXH3_state_t *state;
} hash_t;

/* SGP_ERR_NO_MEMORY: there is nothing to finish. */
sgp_status_t hash_begin(hash_t *hash);
void hash_add(hash_t *hash, const void *bytes, size_t count);

/* Writes the text (NULL: none is wanted), and ends what hash_begin began. */
void hash_end(hash_t *hash, char text[HASH_TEXT]);

/* All at once. */
void hash_of(const void *bytes, size_t count, char text[HASH_TEXT]);

#endif
