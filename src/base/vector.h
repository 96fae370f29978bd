/* SPDX-License-Identifier: Apache-2.0 */
/* For loops over long vectors: compile them for the instruction sets that servers have and choose
 * at run time.
 *
 * Element-wise loops without contraction give the same bits whichever is chosen. Not under
 * sanitizers, whose runtime is not ready when the choice is made, and not with compilers that lack
 * it. */
#ifndef SGP_BASE_VECTOR_H
#define SGP_BASE_VECTOR_H

#include <stdint.h>
#include <string.h>

/* 1 for an infinity or a NaN, else 0: without a branch, so that a loop over it becomes vector code.
 * Whatever -ffast-math says: it looks at the bits. */
static inline int sgp_not_finite(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SGP_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SGP_SANITIZED 1
#endif
#endif

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(SGP_SANITIZED)
#define SGP_VECTOR __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#else
#define SGP_VECTOR
#endif

#endif
