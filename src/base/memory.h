/* SPDX-License-Identifier: Apache-2.0 */
/* Aligned memory for large vectors. */
#ifndef SGP_BASE_MEMORY_H
#define SGP_BASE_MEMORY_H

#include <stddef.h>

#define SGP_ALIGNMENT 64

/* Zeroed, 64-byte aligned (large blocks: 2 MiB aligned and huge pages where the system gives them).
 * Pages are not touched, so memory that is never used costs nothing. NULL when out of memory.
 * bytes == 0 gives a valid pointer. Release with sgp_memory_free. */
void *sgp_memory_alloc(size_t bytes);

/* NULL is fine. */
void sgp_memory_free(void *memory);

#endif
