/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for keys: locked where the system allows it, between guard pages, and left out of core dumps (libsodium's sodium_malloc,
 * which uses MADV_DONTDUMP). Erased when it is freed. Any thread. */
#ifndef SGP_WIRE_GUARDED_H
#define SGP_WIRE_GUARDED_H

#include <stddef.h>

/* (bytes) zeros. NULL: no memory, or libsodium cannot be initialised. */
void *sgp_guarded_make(size_t bytes);

/* NULL is fine. */
void sgp_guarded_free(void *secret);

#endif
