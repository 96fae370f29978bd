/* SPDX-License-Identifier: Apache-2.0 */
/* bfloat16: the upper half of a float32. Integers convert it at the speed of memory. */
#include "codec/codec_internal.h"
#include "codec/float_bits.h"

#include "base/vector.h"

/* The upper half of a float32, rounded. Signed numbers compare faster; the sum can be negative only for a NaN, which is
 * replaced in the end. */
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

SGP_VECTOR static void encode_bfloat16(size_t n, void *restrict to, const float *restrict x) {
    uint16_t *restrict s = to;
    for (size_t i = 0; i < n; i++) s[i] = bfloat16_of(x[i]);
}

SGP_VECTOR static void decode_bfloat16(size_t n, float *restrict x, const void *restrict from) {
    const uint16_t *restrict s = from;
    for (size_t i = 0; i < n; i++) x[i] = of_bfloat16(s[i]);
}

const sgp_codec_t sgp_codec_bfloat16 = {
    .exponent = 0x7f80,
    .encode = encode_bfloat16,
    .decode = decode_bfloat16,
};
