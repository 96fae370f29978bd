/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers/pooling.h"

#include "model/layers/layer_kernels.h"

void pooling_max_forward(const pooling_t *p, const void *x, void *y) {
    kernels_best()->max_forward(p, x, y);
}

void pooling_max_backward(const pooling_t *p, const void *x, const void *y, const void *d_y,
                          void *d_x) {
    kernels_best()->max_backward(p, x, y, d_y, d_x);
}

void pooling_average_forward(const pooling_t *p, const void *x, void *y) {
    kernels_best()->average_forward(p, x, y);
}

void pooling_average_backward(const pooling_t *p, const void *d_y, void *d_x) {
    kernels_best()->average_backward(p, d_y, d_x);
}
