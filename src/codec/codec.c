/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/codec.h"

#include "base/vector.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

static const struct {
    sgp_encoding_t encoding;
    const char *name;
} names[] = {
    {SGP_ENCODING_FLOAT32, "float32"},
    {SGP_ENCODING_BFLOAT16, "bfloat16"},
    {SGP_ENCODING_FLOAT16, "float16"},
};

#define ENCODINGS (sizeof names / sizeof *names)

const char *sgp_encoding_name(sgp_encoding_t encoding) {
    if (encoding == SGP_ENCODING_DEFAULT) return names[0].name;
    for (size_t i = 0; i < ENCODINGS; i++)
        if (names[i].encoding == encoding) return names[i].name;
    return "unknown";
}

sgp_status_t sgp_encoding_parse(const char *name, sgp_encoding_t *encoding) {
    for (size_t i = 0; i < ENCODINGS; i++)
        if (!strcmp(names[i].name, name)) return *encoding = names[i].encoding, SGP_OK;
    return SGP_ERR_NOT_FOUND;
}

/* ---- one number: in integers, without a branch, so that loops over it become vectors ---- */

#define SIGN     0x80000000u
#define INFINITE 0x7f800000u
#define QUIET    0x00400000u

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* condition ? a : b. Compilers make branches of the operator, and no vectors of branches. */
static inline uint32_t choose(bool condition, uint32_t a, uint32_t b) {
    return b ^ ((a ^ b) & -(uint32_t)condition);
}

/* The upper half of a float32, rounded. Signed numbers, which compare faster; only for what is replaced
 * in the end, a NaN, can the sum be negative. */
static inline uint16_t bfloat16_of(float value) {
    const int32_t infinite = INFINITE, largest = 0x7f7fffff;
    uint32_t bits = bits_of(value);
    int32_t size = (int32_t)(bits & ~SIGN);
    int32_t rounded = (int32_t)((uint32_t)size + 0x7fffu + (bits >> 16 & 1));
    rounded = rounded < largest ? rounded : largest;
    uint32_t special = (uint32_t)size | (-(uint32_t)(size > infinite) & QUIET);
    uint32_t found = choose(size >= infinite, special, (uint32_t)rounded);
    return (uint16_t)((found | (bits & SIGN)) >> 16);
}

static inline float of_bfloat16(uint16_t half) {
    return float_of((uint32_t)half << 16);
}

/* Below 2^-14 the unit is 2^-24, which is that of the floats from 0.5 to 1: adding 0.5 rounds. */
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

/* ---- arrays of them ---- */

SGP_VECTOR static void encode_bfloat16(size_t n, uint16_t *restrict s, const float *restrict x) {
    for (size_t i = 0; i < n; i++) s[i] = bfloat16_of(x[i]);
}

SGP_VECTOR static void decode_bfloat16(size_t n, float *restrict x, const uint16_t *restrict s) {
    for (size_t i = 0; i < n; i++) x[i] = of_bfloat16(s[i]);
}

SGP_VECTOR static void encode_float16(size_t n, uint16_t *restrict s, const float *restrict x) {
    for (size_t i = 0; i < n; i++) s[i] = float16_of(x[i]);
}

SGP_VECTOR static void decode_float16(size_t n, float *restrict x, const uint16_t *restrict s) {
    for (size_t i = 0; i < n; i++) x[i] = of_float16(s[i]);
}

SGP_VECTOR bool sgp_encoded_finite(sgp_encoding_t encoding, size_t count, const uint16_t *s) {
    const unsigned exponent = encoding == SGP_ENCODING_BFLOAT16 ? 0x7f80u : 0x7c00u;
    int bad = 0;
    for (size_t i = 0; i < count; i++) bad |= (s[i] & exponent) == exponent;
    return bad == 0;
}

static atomic_bool only_plain;

void sgp_encoding_only_plain(bool only) {
    atomic_store(&only_plain, only);
}

/* Most x86 CPUs convert to and from float16 themselves, by the same rules but for numbers that are
 * too large, and three times as fast as the integers above. (Those with AVX-512 also convert to
 * bfloat16, but flush denormals; integers do it at the speed of memory.) */
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

/* Both return how many numbers they have done: a multiple of 8. */
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

void sgp_encode(sgp_encoding_t encoding, size_t count, uint16_t *s, const float *x) {
    assert(sgp_encoding_rounds(encoding));
    if (encoding == SGP_ENCODING_BFLOAT16) {
        encode_bfloat16(count, s, x);
        return;
    }
    size_t done = has_f16c() ? encode_f16c(count, s, x) : 0;
    encode_float16(count - done, s + done, x + done);
}

void sgp_decode(sgp_encoding_t encoding, size_t count, float *x, const uint16_t *s) {
    assert(sgp_encoding_rounds(encoding));
    if (encoding == SGP_ENCODING_BFLOAT16) {
        decode_bfloat16(count, x, s);
        return;
    }
    size_t done = has_f16c() ? decode_f16c(count, x, s) : 0;
    decode_float16(count - done, x + done, s + done);
}

/* ---- the passes over memory: block by block, what was decoded stays in the first cache ---- */

#define BLOCK 1024

/* A block of `n` numbers at `i`, until there is none left. */
#define BLOCKS(i, n, count)                                                                        \
    for (size_t i = 0, n; n = count - i < BLOCK ? count - i : BLOCK, n > 0; i += n)

/* z <- keep z + part (z - t) */
SGP_VECTOR static void keep_block(size_t n, float *restrict z, const float *restrict t, float keep,
                                  float part) {
    for (size_t i = 0; i < n; i++) z[i] = keep * z[i] + part * (z[i] - t[i]);
}

/* z <- z + part (x - t) */
SGP_VECTOR static void later_block(size_t n, float *z, const float *x, const float *restrict t,
                                   float part) {
    for (size_t i = 0; i < n; i++) z[i] += part * (x[i] - t[i]);
}

/* r <- r + x */
SGP_VECTOR static void add_block(size_t n, float *restrict r, const float *restrict x) {
    for (size_t i = 0; i < n; i++) r[i] += x[i];
}

/* r <- r - t */
SGP_VECTOR static void subtract_block(size_t n, float *restrict r, const float *restrict t) {
    for (size_t i = 0; i < n; i++) r[i] -= t[i];
}

/* r <- times (x - t); x <- t */
SGP_VECTOR static void mean_block(size_t n, float *restrict x, float *restrict r,
                                  const float *restrict t, float times) {
    for (size_t i = 0; i < n; i++) {
        r[i] = times * (x[i] - t[i]);
        x[i] = t[i];
    }
}

/* z <- z + a (t - z) */
SGP_VECTOR static void absorb_block(size_t n, float *restrict z, const float *restrict t, float a) {
    for (size_t i = 0; i < n; i++) z[i] += a * (t[i] - z[i]);
}

/* z <- z + a t */
SGP_VECTOR static void scaled_block(size_t n, float *restrict z, const float *restrict t, float a) {
    for (size_t i = 0; i < n; i++) z[i] += a * t[i];
}

/* t <- (a - t) / 2 */
SGP_VECTOR static void half_block(size_t n, const float *restrict a, float *restrict t) {
    for (size_t i = 0; i < n; i++) t[i] = 0.5f * (a[i] - t[i]);
}

void sgp_encode_keep(sgp_encoding_t encoding, size_t count, uint16_t *s, float *z, float keep,
                     float part) {
    float sent[BLOCK];
    BLOCKS(i, n, count) {
        sgp_encode(encoding, n, s + i, z + i);
        sgp_decode(encoding, n, sent, s + i);
        keep_block(n, z + i, sent, keep, part);
    }
}

void sgp_keep_rounding(sgp_encoding_t encoding, size_t count, float *z, const float *x,
                       float part) {
    uint16_t encoded[BLOCK];
    float sent[BLOCK];
    BLOCKS(i, n, count) {
        sgp_encode(encoding, n, encoded, x + i);
        sgp_decode(encoding, n, sent, encoded);
        later_block(n, z + i, x + i, sent, part);
    }
}

void sgp_encode_feedback(sgp_encoding_t encoding, size_t count, uint16_t *s, const float *x,
                         float *r) {
    float sent[BLOCK];
    BLOCKS(i, n, count) {
        add_block(n, r + i, x + i);
        sgp_encode(encoding, n, s + i, r + i);
        sgp_decode(encoding, n, sent, s + i);
        subtract_block(n, r + i, sent);
    }
}

void sgp_encode_mean(sgp_encoding_t encoding, size_t count, uint16_t *s, float *x, float *r,
                     float times) {
    float sent[BLOCK];
    BLOCKS(i, n, count) {
        sgp_encode(encoding, n, s + i, x + i);
        sgp_decode(encoding, n, sent, s + i);
        mean_block(n, x + i, r + i, sent, times);
    }
}

void sgp_decode_absorb(sgp_encoding_t encoding, size_t count, float *z, const uint16_t *s,
                       float a) {
    float arrived[BLOCK];
    BLOCKS(i, n, count) {
        sgp_decode(encoding, n, arrived, s + i);
        absorb_block(n, z + i, arrived, a);
    }
}

void sgp_decode_add(sgp_encoding_t encoding, size_t count, float *z, const uint16_t *s, float a) {
    float arrived[BLOCK];
    BLOCKS(i, n, count) {
        sgp_decode(encoding, n, arrived, s + i);
        scaled_block(n, z + i, arrived, a);
    }
}

void sgp_encode_meet(sgp_encoding_t encoding, size_t count, float *a, const uint16_t *b,
                     uint16_t *s) {
    float half[BLOCK];
    BLOCKS(i, n, count) {
        sgp_decode(encoding, n, half, b + i);
        half_block(n, a + i, half);
        sgp_encode(encoding, n, s + i, half);
        sgp_decode(encoding, n, half, s + i);
        subtract_block(n, a + i, half);
    }
}
