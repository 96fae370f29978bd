/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3, 128 bits, as text: equal for two files or two vectors only if they hold the same bits. */
#ifndef SGP_FILES_CONTENT_HASH_H
#define SGP_FILES_CONTENT_HASH_H

#include <sgp/status.h>
#include <stddef.h>
#include <xxhash.h>

enum { CONTENT_HASH_TEXT = 33 }; /* hexadecimal digits, and a zero byte */

typedef struct content_hash {
    XXH3_state_t *state;
} content_hash_t;

/* SGP_ERR_NO_MEMORY: there is nothing to finish. */
sgp_status_t content_hash_begin(content_hash_t *hash);
void content_hash_add(content_hash_t *hash, const void *bytes, size_t count);

/* Writes the text (may be NULL) and releases the state. */
void content_hash_end(content_hash_t *hash, char text[CONTENT_HASH_TEXT]);

/* All at once. */
void content_hash_of(const void *bytes, size_t count, char text[CONTENT_HASH_TEXT]);

#endif
