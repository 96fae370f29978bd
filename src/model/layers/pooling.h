/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling over pixels. Arrays are (batch, height, width, channels).
 *
 * Max pooling includes the ReLU that follows or precedes it: the maximum of rectified values is the
 * rectified maximum, so that the ReLU costs one pass over the small output instead of two over the
 * large input. */
#ifndef SGP_MODEL_LAYERS_POOLING_H
#define SGP_MODEL_LAYERS_POOLING_H

#include <stdbool.h>

/* out_height = (height + 2 padding - kernel) / stride + 1, and width alike. Padded pixels never
 * win; padding < kernel, so that each window has a pixel. */
typedef struct pooling {
    int batch, height, width, channels;
    int out_height, out_width;
    int kernel, stride, padding;
    bool relu;
} pooling_t;

void pooling_max_forward(const pooling_t *pooling, const float *x, float *y);

/* The first of equal largest pixels takes the gradient. x and y as in the forward pass; d_x is
 * overwritten. The forward pass stores no indices: comparing x with y finds the maximum again. */
void pooling_max_backward(const pooling_t *pooling, const float *x, const float *y,
                          const float *d_y, float *d_x);

/* The mean over all pixels: x (batch, pixels, channels), y (batch, channels). */
void pooling_average_forward(int batch, int pixels, int channels, const float *x, float *y);
void pooling_average_backward(int batch, int pixels, int channels, const float *d_y, float *d_x);

#endif
