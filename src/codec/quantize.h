/* SPDX-License-Identifier: Apache-2.0 */
/* One block of numbers as small integers and a scale: for the encodings in blocks of this folder.
 *
 * With the largest absolute value m of the block and levels L (127 or 7):
 *
 *     scale = m / L          one float32 division
 *     code  = rint(x L/m)    L / m in float32, the product in float32, to the nearest, ties to even
 *
 * and a code stands for code times scale, one float32 product, at most half a scale from x (and 2^-22 of m for the roundings).
 * So that every finite block works:
 *  - m / L is at most the largest scale with which L times it is finite: one unit below m / L for numbers near FLT_MAX.
 *  - If m / L is no normal number (m is below 2^-119 for 127 and 2^-123 for 7), the scale is the smallest multiple of 2^-149
 *    with L times it at least m, and the codes are the nearest multiples of it, by integers alone.
 * A block of zeros has the scale 0. The same bits on every CPU, whatever its float unit does with denormals. */
#ifndef SGP_CODEC_QUANTIZE_H
#define SGP_CODEC_QUANTIZE_H

#include "base/encoded.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers of the block that begins with number i of n. */
static inline size_t sgp_quantize_block(size_t n, size_t i) {
    return n - i < SGP_BLOCK ? n - i : SGP_BLOCK;
}

/* The bits of the largest absolute value of x (n), as of a float32. From 0x7f800000 on: a number is not finite. */
uint32_t sgp_quantize_largest(size_t n, const float *x);

/* codes (n) <- x (n), a block or a part of one whose largest absolute value is `largest`; levels: 127 or 7. Returns the bits
 * of the scale: a NaN, and codes of 0, if that is not finite. */
uint32_t sgp_quantize(size_t n, int8_t *codes, const float *x, uint32_t largest, int levels);

/* x (n) <- codes (n) times the scale with these bits. */
void sgp_dequantize(size_t n, float *x, const int8_t *codes, uint32_t scale);

/* t (n) <- what x (n) becomes on the way. x may be t. */
static inline void sgp_quantize_round(size_t n, float *t, const float *x, uint32_t largest,
                                      int levels) {
    int8_t codes[SGP_BLOCK];
    uint32_t scale = sgp_quantize(n, codes, x, largest, levels);
    sgp_dequantize(n, t, codes, scale);
}

/* Whether a sender can have made a scale with these bits, of finite numbers. */
bool sgp_scale_is_valid(uint32_t scale, int levels);

#endif
