/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/quantize.h"

#include "base/vector.h"
#include "codec/float_bits.h"

#include <string.h>

/* From these bits on, m / levels is a normal number: 2^-119 and 2^-123. */
static uint32_t least_normal(int levels) {
    return levels == 127 ? (127u - 119) << 23 : (127u - 123) << 23;
}

/* Bits of the largest scale: levels times it is finite. */
static uint32_t largest_scale(int levels) {
    return bits_of(levels == 127 ? 0x1.020406p+121f : 0x1.249248p+125f);
}

bool sgp_scale_is_valid(uint32_t scale, int levels) {
    return scale <= largest_scale(levels);
}

SGP_VECTOR uint32_t sgp_quantize_largest(size_t n, const float *x) {
    int32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t size = (int32_t)(bits_of(x[i]) & ~SIGN);
        largest = size > largest ? size : largest;
    }
    return (uint32_t)largest;
}

/* ---- tiny numbers, in units of 2^-149 ---- */

/* Below 2^-95. */
static int64_t units_of(uint32_t bits) {
    uint32_t exponent = (bits & ~SIGN) >> 23, fraction = bits & 0x7fffffu;
    int64_t size = exponent ? (int64_t)(fraction | 0x800000u) << (exponent - 1) : fraction;
    return bits & SIGN ? -size : size;
}

/* The nearest integer, ties to even; scale > 0. */
static int64_t quotient(int64_t units, int64_t scale) {
    int64_t twice = units < 0 ? -2 * units : 2 * units;
    int64_t found = (twice + scale) / (2 * scale);
    if ((twice + scale) % (2 * scale) == 0) found &= ~(int64_t)1;
    return units < 0 ? -found : found;
}

static uint32_t quantize_tiny(size_t n, int8_t *codes, const float *x, uint32_t largest,
                              int levels) {
    int64_t scale = (units_of(largest) + levels - 1) / levels; /* below 2^24: its own bits */
    for (size_t i = 0; i < n; i++)
        codes[i] = scale ? (int8_t)quotient(units_of(bits_of(x[i])), scale) : 0;
    return (uint32_t)scale;
}

/* The product is below 2^31 units; from 2^23 on it is rounded as a float, whose exponent is then moved. */
static void dequantize_tiny(size_t n, float *x, const int8_t *codes, uint32_t scale) {
    for (size_t i = 0; i < n; i++) {
        int32_t units = codes[i] * (int32_t)scale, size = units < 0 ? -units : units;
        uint32_t bits = (uint32_t)size;
        if (size >= 0x800000) bits = bits_of((float)size) - (149u << 23);
        x[i] = float_of(bits | (units < 0 ? SIGN : 0));
    }
}

/* ---- all others ---- */

/* Adding it rounds a number below 2^22 to an integer, which its lower bits then are. */
#define TO_INTEGER 0x1.8p+23f

SGP_VECTOR static void quantize_normal(size_t n, int8_t *restrict codes, const float *restrict x,
                                       float inverse) {
    for (size_t i = 0; i < n; i++) codes[i] = (int8_t)bits_of(x[i] * inverse + TO_INTEGER);
}

SGP_VECTOR static void dequantize_normal(size_t n, float *restrict x, const int8_t *restrict codes,
                                         float scale) {
    for (size_t i = 0; i < n; i++) x[i] = (float)codes[i] * scale;
}

uint32_t sgp_quantize(size_t n, int8_t *codes, const float *x, uint32_t largest, int levels) {
    if (largest >= INFINITE) {
        memset(codes, 0, n);
        return INFINITE | QUIET;
    }
    if (largest < least_normal(levels)) return quantize_tiny(n, codes, x, largest, levels);
    uint32_t scale = bits_of(float_of(largest) / (float)levels), most = largest_scale(levels);
    quantize_normal(n, codes, x, (float)levels / float_of(largest));
    return scale < most ? scale : most;
}

void sgp_dequantize(size_t n, float *x, const int8_t *codes, uint32_t scale) {
    if (scale > 0 && scale < 0x800000u) dequantize_tiny(n, x, codes, scale);
    else dequantize_normal(n, x, codes, float_of(scale));
}
