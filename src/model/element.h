/* SPDX-License-Identifier: Apache-2.0 */
/* The types of the elements of activations and of their gradients. */
#ifndef SGP_MODEL_ELEMENT_H
#define SGP_MODEL_ELEMENT_H

#include <stddef.h>

typedef enum element {
    ELEMENT_FLOAT32,
    ELEMENT_BFLOAT16, /* the upper half of a float32, rounded to nearest, ties to even */
} element_t;

static inline size_t element_bytes(element_t element) {
    return element == ELEMENT_BFLOAT16 ? 2 : 4;
}

#endif
