/* SPDX-License-Identifier: Apache-2.0 */
/* The ReLU where no other layer includes it, and the sum of two gradients. */
#ifndef SGP_MODEL_LAYERS_RELU_H
#define SGP_MODEL_LAYERS_RELU_H

#include "model/element.h"

#include <stddef.h>

/* y = max(x, 0). A NaN passes. y may be x. */
void relu_forward(element_t element, size_t count, const void *x, void *y);

/* d_x = d_y where y > 0, else 0. d_x may be d_y. */
void relu_backward(element_t element, size_t count, const void *y, const void *d_y, void *d_x);

/* sum += added */
void gradient_add(element_t element, size_t count, const void *added, void *sum);

#endif
