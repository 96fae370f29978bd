/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of floats for our own loops, written so that every compiler and CPU gives the same bits:
 * a lane never meets another lane, and nothing is contracted. */
#ifndef MODEL_LANES_H
#define MODEL_LANES_H

#include <stdint.h>

enum { LANES = 8 };

/* Eight floats anywhere in an array of floats: any alignment, and they may be read as int32_t. */
typedef float lanes_t __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
typedef int32_t lanes_mask_t
    __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* A function with this mark is compiled for AVX2 too, and the loader takes the best the CPU has.
 * Not for wider vectors: these loops wait for memory. Not under sanitizers, whose run time is not
 * up yet when the loader chooses. Static functions only: clang 14 gives the others a wrong name. */
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__) &&                 \
    !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LANES_NO_CLONES
#endif
#endif
#ifndef LANES_NO_CLONES
#define LANES_KERNEL __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef LANES_KERNEL
#define LANES_KERNEL
#endif

/* For the body of a kernel: compiled into each of its clones, and once for each combination of
 * constant arguments. */
#define LANES_INLINE static inline __attribute__((always_inline))

static inline const lanes_t *lanes_at(const float *array) {
    return (const lanes_t *)array;
}

static inline lanes_t *lanes_into(float *array) {
    return (lanes_t *)array;
}

#endif
