/* SPDX-License-Identifier: Apache-2.0 */
/* The ReLU where no other layer includes it, and the sum of two gradients. */
#ifndef SGP_MODEL_LAYERS_RELU_H
#define SGP_MODEL_LAYERS_RELU_H

#include <stddef.h>

/* y = max(x, 0). A NaN passes. y may be x. */
void relu_forward(size_t count, const float *x, float *y);

/* d_x = d_y where y > 0, else 0. d_x may be d_y. */
void relu_backward(size_t count, const float *y, const float *d_y, float *d_x);

/* sum += added */
void gradient_add(size_t count, const float *added, float *sum);

#endif
