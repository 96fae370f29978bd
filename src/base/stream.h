/* SPDX-License-Identifier: Apache-2.0 */
/* Copies with non-temporal stores: they go to memory past the caches, and take lines from the caches of other
 * cores without asking for their contents. For memory that another core reads next. Where the CPU has no such
 * stores these are plain copies. Non-temporal stores are ordered by sgp_stream_fence alone: call it before
 * another thread or process is told of them. */
#ifndef SGP_BASE_STREAM_H
#define SGP_BASE_STREAM_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that a writer gathers in a scratch before it streams them: they stay in the first-level cache. */
#define SGP_STREAM_BYTES ((size_t)8 << 10)

/* to <- from. Aligned to 4 bytes; fastest where `to` is aligned to 64. */
void sgp_stream_copy(size_t bytes, void *to, const void *from);

/* to <- from. false: an element is an infinity or a NaN. */
bool sgp_stream_finite(size_t count, float *to, const float *from);

void sgp_stream_fence(void);

#endif
