/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of LANES floats for our own loops. A file of kernels defines LANES before it includes
 * this header: see layer_kernels.h. Every width, compiler and CPU gives the same bits: lanes are
 * never combined, and no operation is contracted. */
#ifndef SGP_MODEL_LAYERS_LANES_H
#define SGP_MODEL_LAYERS_LANES_H

#include "model/element.h"

#include <stdint.h>
#include <string.h>

/* Unaligned, at any element of an array. */
typedef float lanes_t __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
typedef uint32_t lanes_bits_t
    __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
typedef uint16_t lanes_half_t
    __attribute__((vector_size(LANES * sizeof(uint16_t)), aligned(2), may_alias));

/* The result of comparing two lanes_t: all bits of a lane are set, or none. */
typedef int32_t lanes_mask_t
    __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* The body of a loop that is compiled once for each combination of constant arguments. */
#define LANES_INLINE static inline __attribute__((always_inline))

LANES_INLINE const lanes_t *lanes_at(const float *array) {
    return (const lanes_t *)array;
}

/* Elements i to i + LANES - 1. */
LANES_INLINE void lanes_load(const void *array, size_t i, element_t element, lanes_t *value) {
    if (element == ELEMENT_BFLOAT16) {
        const lanes_half_t *half = (const lanes_half_t *)((const uint16_t *)array + i);
        *value = (lanes_t)(__builtin_convertvector(*half, lanes_bits_t) << 16);
    } else {
        *value = *(const lanes_t *)((const float *)array + i);
    }
}

LANES_INLINE void lanes_store(void *array, size_t i, element_t element, const lanes_t *value) {
    if (element == ELEMENT_BFLOAT16) {
        lanes_bits_t bits = (lanes_bits_t)*value;
        lanes_bits_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
        /* Rounding could carry a NaN's bits over into its sign: it is made quiet instead. */
        lanes_bits_t nan = (lanes_bits_t)(*value != *value);
        rounded = (rounded & ~nan) | ((bits | 0x400000u) & nan);
        *(lanes_half_t *)((uint16_t *)array + i) =
            __builtin_convertvector(rounded >> 16, lanes_half_t);
    } else {
        *(lanes_t *)((float *)array + i) = *value;
    }
}

/* The same for one element, behind the last whole vector. */
LANES_INLINE float lane_load(const void *array, size_t i, element_t element) {
    if (element == ELEMENT_FLOAT32) return ((const float *)array)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)array)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

LANES_INLINE void lane_store(void *array, size_t i, element_t element, float value) {
    if (element == ELEMENT_FLOAT32) {
        ((float *)array)[i] = value;
        return;
    }
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = value != value ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1u);
    ((uint16_t *)array)[i] = (uint16_t)(bits >> 16);
}

/* Zeroes all but positive values and NaN, which passes so that it is noticed. */
LANES_INLINE void lanes_rectify(lanes_t *value) {
    *value = (lanes_t)((lanes_mask_t)*value & ~(lanes_mask_t)(*value <= (lanes_t){0}));
}

#endif
