/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling over pixels. Arrays are (batch, height, width, channels).
 *
 * Max pooling includes the ReLU that follows or precedes it: the maximum of rectified values is the
 * rectified maximum, so that the ReLU costs one pass over the small output instead of two over the
 * large input. */
#ifndef SGP_MODEL_LAYERS_POOLING_H
#define SGP_MODEL_LAYERS_POOLING_H

#include "model/element.h"

#include <stdbool.h>

/* out_height = (height + 2 padding - kernel) / stride + 1, and width alike. Padded pixels never
 * win; padding < kernel, so that each window has a pixel. */
typedef struct pooling {
    int batch, height, width, channels;
    int out_height, out_width;
    int kernel, stride, padding;
    bool relu;
    element_t element; /* of all arrays */
} pooling_t;

void pooling_max_forward(const pooling_t *pooling, const void *x, void *y);

/* The first of equal largest pixels takes the gradient. x and y as in the forward pass; d_x is
 * overwritten. The forward pass stores no indices: comparing x with y finds the maximum again. */
void pooling_max_backward(const pooling_t *pooling, const void *x, const void *y, const void *d_y,
                          void *d_x);

/* The mean over all pixels: x (batch, height, width, channels), y (batch, channels). */
void pooling_average_forward(const pooling_t *pooling, const void *x, void *y);
void pooling_average_backward(const pooling_t *pooling, const void *d_y, void *d_x);

#endif
