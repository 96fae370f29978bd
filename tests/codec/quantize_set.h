/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.c with SGP_VECTOR as it is defined now, its names as SET(name): for test_quantize.c, once for each
 * set. */
#ifndef SGP_TESTS_CODEC_QUANTIZE_SET_H
#define SGP_TESTS_CODEC_QUANTIZE_SET_H

#define sgp_quantize_largest SET(quantize_largest)
#define sgp_quantize         SET(quantize)
#define sgp_dequantize       SET(dequantize)
#define sgp_scale_is_valid   SET(scale_is_valid)
#define least_normal         SET(least_normal)
#define largest_scale        SET(largest_scale)
#define units_of             SET(units_of)
#define quotient             SET(quotient)
#define quantize_tiny        SET(quantize_tiny)
#define dequantize_tiny      SET(dequantize_tiny)
#define quantize_normal      SET(quantize_normal)
#define dequantize_normal    SET(dequantize_normal)

uint32_t sgp_quantize_largest(size_t n, const float *x);
uint32_t sgp_quantize(size_t n, int8_t *codes, const float *x, uint32_t largest, int levels);
void sgp_dequantize(size_t n, float *x, const int8_t *codes, uint32_t scale);
bool sgp_scale_is_valid(uint32_t scale, int levels);

#include "../../src/codec/quantize.c"

#undef sgp_quantize_largest
#undef sgp_quantize
#undef sgp_dequantize
#undef sgp_scale_is_valid
#undef least_normal
#undef largest_scale
#undef units_of
#undef quotient
#undef quantize_tiny
#undef dequantize_tiny
#undef quantize_normal
#undef dequantize_normal
#undef SGP_TESTS_CODEC_QUANTIZE_SET_H /* it is read again */

#endif
