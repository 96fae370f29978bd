/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/resample_kernels.h"

#include <string.h>

/* The sum with 22 bits of fraction, rounded; weights that sum to a little more than 1 can give 256. */
static inline uint8_t rounded(int32_t sum) {
    int32_t value = (sum + (1 << (RESAMPLE_BITS - 1))) >> RESAMPLE_BITS;
    return (uint8_t)(value > 255 ? 255 : value);
}

static void plain_row(const resample_axis_t *axis, const uint8_t *in, uint8_t *out) {
    for (int i = 0; i < axis->count; i++) {
        const uint8_t *pixel = in + 4 * (size_t)axis->from[i];
        const int32_t *weights = axis->weights + (size_t)i * (size_t)axis->stride;
        int32_t sums[4] = {0};
        for (int t = 0; t < axis->taps[i]; t++)
            for (int c = 0; c < 4; c++) sums[c] += weights[t] * pixel[4 * t + c];
        for (int c = 0; c < 4; c++) out[4 * i + c] = rounded(sums[c]);
    }
}

static void plain_columns(const resample_axis_t *axis, const uint8_t *const in[2],
                          uint8_t *const out[2]) {
    for (int i = 0; i < 2; i++) plain_row(axis, in[i], out[i]);
}

static void plain_rows(const resample_axis_t *axis, int output, const uint8_t *const *in, int bytes,
                       uint8_t *out) {
    const int32_t *weights = axis->weights + (size_t)output * (size_t)axis->stride;
    for (int i = 0; i < bytes; i++) {
        int32_t sum = 0;
        for (int t = 0; t < axis->taps[output]; t++) sum += weights[t] * in[t][i];
        out[i] = rounded(sum);
    }
}

const resample_kernels_t resample_plain = {plain_columns, plain_rows};

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

/* upper, lower: sums with either part of the weights; their whole, rounded, in each lane of 32 bits. */
AVX2 static inline __m256i rounded_lanes(__m256i upper, __m256i lower) {
    __m256i half = _mm256_set1_epi32(1 << (RESAMPLE_BITS - 1));
    __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(upper, RESAMPLE_LOWER_BITS), lower);
    return _mm256_srli_epi32(_mm256_add_epi32(sum, half), RESAMPLE_BITS);
}

AVX2 static inline __m256i pair_of(const int16_t *weights) {
    int32_t pair;
    memcpy(&pair, weights, sizeof pair);
    return _mm256_set1_epi32(pair);
}

/* One output of both rows; a row has its half of the registers. A multiplication of
 * 16-bit pairs adds two neighbouring pixels of a channel. */
AVX2 static inline __m256i avx2_output(const resample_axis_t *axis, int output,
                                       const uint8_t *const in[2]) {
    const __m256i first = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1));
    const __m256i second = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1));
    const uint8_t *a = in[0] + 4 * (size_t)axis->from[output];
    const uint8_t *b = in[1] + 4 * (size_t)axis->from[output];
    const resample_group_t *group =
        axis->groups + (size_t)output * (size_t)(axis->stride / RESAMPLE_GROUP);
    __m256i upper = _mm256_setzero_si256(), lower = upper;
    for (int t = 0; t < axis->taps[output]; t += RESAMPLE_GROUP, group++) {
        __m128i low = _mm_loadu_si128((const __m128i *)(const void *)(a + 4 * t));
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(b + 4 * t));
        __m256i pixels = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
        __m256i two = _mm256_shuffle_epi8(pixels, first);
        upper = _mm256_add_epi32(upper, _mm256_madd_epi16(two, pair_of(group->upper)));
        lower = _mm256_add_epi32(lower, _mm256_madd_epi16(two, pair_of(group->lower)));
        two = _mm256_shuffle_epi8(pixels, second);
        upper = _mm256_add_epi32(upper, _mm256_madd_epi16(two, pair_of(group->upper + 2)));
        lower = _mm256_add_epi32(lower, _mm256_madd_epi16(two, pair_of(group->lower + 2)));
    }
    return rounded_lanes(upper, lower);
}

AVX2 static void avx2_columns(const resample_axis_t *axis, const uint8_t *const in[2],
                              uint8_t *const out[2]) {
    for (int i = 0; i < axis->count; i += 2) {
        __m256i a = avx2_output(axis, i, in);
        __m256i b = i + 1 < axis->count ? avx2_output(axis, i + 1, in) : a;
        __m256i words = _mm256_packus_epi32(a, b);
        __m256i bytes = _mm256_packus_epi16(words, words);
        _mm_storel_epi64((__m128i *)(void *)(out[0] + 4 * i), _mm256_castsi256_si128(bytes));
        _mm_storel_epi64((__m128i *)(void *)(out[1] + 4 * i), _mm256_extracti128_si256(bytes, 1));
    }
}

/* 16 bytes at a time, two rows at a time. */
AVX2 static void avx2_rows(const resample_axis_t *axis, int output, const uint8_t *const *in,
                           int bytes, uint8_t *out) {
    int groups = axis->stride / RESAMPLE_GROUP, taps = axis->taps[output];
    const resample_group_t *weights = axis->groups + (size_t)output * (size_t)groups;
    for (int i = 0; i < bytes; i += 16) {
        __m256i zero = _mm256_setzero_si256();
        __m256i upper_0 = zero, upper_1 = zero, lower_0 = zero, lower_1 = zero;
        for (int t = 0; t < taps; t += 2) {
            const resample_group_t *group = weights + t / RESAMPLE_GROUP;
            const uint8_t *odd = t + 1 < taps ? in[t + 1] : in[t]; /* of weight 0 behind the taps */
            __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(in[t] + i));
            __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(odd + i));
            __m256i first = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
            __m256i second = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
            __m256i weight = pair_of(group->upper + t % RESAMPLE_GROUP);
            upper_0 = _mm256_add_epi32(upper_0, _mm256_madd_epi16(first, weight));
            upper_1 = _mm256_add_epi32(upper_1, _mm256_madd_epi16(second, weight));
            weight = pair_of(group->lower + t % RESAMPLE_GROUP);
            lower_0 = _mm256_add_epi32(lower_0, _mm256_madd_epi16(first, weight));
            lower_1 = _mm256_add_epi32(lower_1, _mm256_madd_epi16(second, weight));
        }
        __m256i words =
            _mm256_packus_epi32(rounded_lanes(upper_0, lower_0), rounded_lanes(upper_1, lower_1));
        words = _mm256_permute4x64_epi64(words, _MM_SHUFFLE(3, 1, 2, 0));
        __m128i packed =
            _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((__m128i *)(void *)(out + i), packed);
    }
}

static const resample_kernels_t avx2 = {avx2_columns, avx2_rows};

const resample_kernels_t *resample_fastest(void) {
    return __builtin_cpu_supports("avx2") ? &avx2 : &resample_plain;
}
#else
const resample_kernels_t *resample_fastest(void) {
    return &resample_plain;
}
#endif
