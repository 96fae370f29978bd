/* SPDX-License-Identifier: Apache-2.0 */
/* The modulo codes in vectors of 16. */
#include "codec/modulo_kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define LANES  16
#define TARGET __attribute__((target("avx512f")))
#include "codec/modulo_lanes.h"

INLINE words_t vector_larger(words_t a, words_t b) {
    return (words_t)_mm512_max_epu32((__m512i)a, (__m512i)b);
}

INLINE void store_halves(void *to, words_t words) {
    _mm256_storeu_si256(to, _mm512_cvtepi32_epi16((__m512i)words));
}

const sgp_modulo_kernels_t *sgp_modulo_avx512(void) {
    return __builtin_cpu_supports("avx512f") ? &kernels : NULL;
}
#else
const sgp_modulo_kernels_t *sgp_modulo_avx512(void) {
    return NULL;
}
#endif
