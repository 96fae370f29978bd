/* SPDX-License-Identifier: Apache-2.0 */
/* float16: IEEE 754 binary16, by the CPU's own instructions where it has them. */
#include "codec/codec_internal.h"
#include "codec/float_bits.h"

#include "base/vector.h"

#include <stdatomic.h>

/* Below 2^-14 the unit is 2^-24, as of the floats from 0.5 to 1: adding 0.5 rounds to it. */
static inline uint16_t float16_of(float value) {
    const uint32_t smallest = 0x38800000u /* 2^-14 */, bias = 112u << 23, largest = 0x7bffu;
    uint32_t bits = bits_of(value), size = bits & ~SIGN;
    uint32_t small = bits_of(float_of(choose(size < smallest, size, 0)) + 0.5f) - bits_of(0.5f);
    uint32_t rounded = (size - bias + 0xfffu + ((size >> 13) & 1)) >> 13;
    rounded = choose(size < smallest, small, rounded);
    rounded = choose(size >= 0x477ff000u /* 65520 */, largest, rounded);
    rounded = choose(size == INFINITE, 0x7c00u, rounded);
    rounded = choose(size > INFINITE, 0x7e00u | ((size >> 13) & 0x3ffu), rounded);
    return (uint16_t)(rounded | (bits & SIGN) >> 16);
}

static inline float of_float16(uint16_t half) {
    uint32_t size = half & 0x7fffu, sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t small = bits_of((float)(int32_t)(size & 0x3ffu) * 0x1p-24f);
    uint32_t bits = (size << 13) + (112u << 23);
    bits = choose(size < 0x400u, small, bits);
    bits = choose(size >= 0x7c00u, (size << 13) | INFINITE, bits);
    bits = choose(size > 0x7c00u, bits | QUIET, bits);
    return float_of(bits | sign);
}

SGP_VECTOR static void encode_float16(size_t n, uint16_t *restrict s, const float *restrict x) {
    for (size_t i = 0; i < n; i++) s[i] = float16_of(x[i]);
}

SGP_VECTOR static void decode_float16(size_t n, float *restrict x, const uint16_t *restrict s) {
    for (size_t i = 0; i < n; i++) x[i] = of_float16(s[i]);
}

static atomic_bool only_plain;

void sgp_encoding_only_plain(bool only) {
    atomic_store(&only_plain, only);
}

/* Most x86 CPUs have instructions for float16, by the same rules except for numbers that are too large, and three times as
 * fast as the integers above. (AVX-512 also converts to bfloat16, but flushes denormals; integers do that at the speed of
 * memory.) */
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>

static bool has_f16c(void) {
    static _Atomic int known; /* 0: not yet */
    int found = atomic_load_explicit(&known, memory_order_relaxed);
    if (found == 0) {
        unsigned a, b, c = 0, d;
        bool has =
            __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) && __builtin_cpu_supports("avx2");
        found = has ? 1 : -1;
        atomic_store_explicit(&known, found, memory_order_relaxed);
    }
    return found > 0 && !atomic_load_explicit(&only_plain, memory_order_relaxed);
}

/* Both return the count of numbers converted, a multiple of 8. */
__attribute__((target("avx2,f16c"))) static size_t encode_f16c(size_t n, uint16_t *s,
                                                               const float *x) {
    const __m256 sign = _mm256_set1_ps(-0.0f), most = _mm256_set1_ps(65504);
    const __m256 infinite = _mm256_castsi256_ps(_mm256_set1_epi32(INFINITE));
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 value = _mm256_loadu_ps(x + i), size = _mm256_andnot_ps(sign, value);
        __m256 finite = _mm256_cmp_ps(size, infinite, _CMP_LT_OQ);
        size = _mm256_blendv_ps(size, _mm256_min_ps(size, most), finite);
        value = _mm256_or_ps(size, _mm256_and_ps(sign, value));
        _mm_storeu_si128((__m128i *)(void *)(s + i),
                         _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
    }
    return i;
}

__attribute__((target("avx2,f16c"))) static size_t decode_f16c(size_t n, float *x,
                                                               const uint16_t *s) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i,
                         _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(s + i))));
    return i;
}
#else
static bool has_f16c(void) {
    return false;
}
static size_t encode_f16c(size_t n, uint16_t *s, const float *x) {
    return (void)n, (void)s, (void)x, 0;
}
static size_t decode_f16c(size_t n, float *x, const uint16_t *s) {
    return (void)n, (void)s, (void)x, 0;
}
#endif

static void encode(size_t n, void *to, const float *x) {
    uint16_t *s = to;
    size_t done = has_f16c() ? encode_f16c(n, s, x) : 0;
    encode_float16(n - done, s + done, x + done);
}

static void decode(size_t n, float *x, const void *from) {
    const uint16_t *s = from;
    size_t done = has_f16c() ? decode_f16c(n, x, s) : 0;
    decode_float16(n - done, x + done, s + done);
}

const sgp_codec_t sgp_codec_float16 = {
    .exponent = 0x7c00,
    .encode = encode,
    .decode = decode,
};
