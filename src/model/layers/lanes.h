/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of floats for our own loops. Every compiler and CPU gives the same bits: lanes are never
 * combined, and no operation is contracted.
 *
 * Every 64-bit CPU has vectors of four floats. Wider ones were measured to save 1 % of a step
 * (these loops are bound by memory), and would need a version per CPU. */
#ifndef SGP_MODEL_LAYERS_LANES_H
#define SGP_MODEL_LAYERS_LANES_H

#include <stdint.h>

enum { LANES = 4 };

/* At any place in an array of floats; no alignment is needed. */
typedef float lanes_t __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* The result of comparing two lanes_t: all bits of a lane are set, or none. */
typedef int32_t lanes_mask_t
    __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* The body of a loop that is compiled once for each combination of constant arguments. */
#define LANES_INLINE static inline __attribute__((always_inline))

LANES_INLINE const lanes_t *lanes_at(const float *array) {
    return (const lanes_t *)array;
}

LANES_INLINE lanes_t *lanes_into(float *array) {
    return (lanes_t *)array;
}

#endif
