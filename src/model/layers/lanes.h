/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of floats for our own loops, written so that every compiler and CPU gives the same bits:
 * a lane never meets another lane, and nothing is contracted.
 *
 * Four floats are what every 64-bit CPU has without asking. Wider ones were measured to save 1 % of
 * a step (these loops wait for memory), and would need versions per CPU. */
#ifndef SGP_MODEL_LAYERS_LANES_H
#define SGP_MODEL_LAYERS_LANES_H

#include <stdint.h>

enum { LANES = 4 };

/* Anywhere in an array of floats, whatever its alignment. */
typedef float lanes_t __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* All bits of a lane set or none: what comparing two lanes_t gives. */
typedef int32_t lanes_mask_t
    __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* For the body of a loop that is compiled once for each combination of constant arguments. */
#define LANES_INLINE static inline __attribute__((always_inline))

LANES_INLINE const lanes_t *lanes_at(const float *array) {
    return (const lanes_t *)array;
}

LANES_INLINE lanes_t *lanes_into(float *array) {
    return (lanes_t *)array;
}

#endif
