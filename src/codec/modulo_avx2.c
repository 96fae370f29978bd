/* SPDX-License-Identifier: Apache-2.0 */
/* The modulo codes in vectors of 8. */
#include "codec/modulo_kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define LANES  8
#define TARGET __attribute__((target("avx2")))
#include "codec/modulo_lanes.h"

INLINE words_t vector_larger(words_t a, words_t b) {
    return (words_t)_mm256_max_epu32((__m256i)a, (__m256i)b);
}

INLINE void store_halves(void *to, words_t words) {
    __m256i packed = _mm256_packus_epi32((__m256i)words, (__m256i)words);
    packed = _mm256_permute4x64_epi64(packed, 0x08);
    _mm_storeu_si128(to, _mm256_castsi256_si128(packed));
}

const sgp_modulo_kernels_t *sgp_modulo_avx2(void) {
    return __builtin_cpu_supports("avx2") ? &kernels : NULL;
}
#else
const sgp_modulo_kernels_t *sgp_modulo_avx2(void) {
    return NULL;
}
#endif
