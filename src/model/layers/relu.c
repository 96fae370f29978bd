/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers/relu.h"

/* Plain loops: the arrays are small (dense layers), or the call is rare. */

void relu_forward(size_t count, const float *x, float *y) {
    for (size_t i = 0; i < count; i++) y[i] = x[i] <= 0.0f ? 0.0f : x[i];
}

void relu_backward(size_t count, const float *y, const float *d_y, float *d_x) {
    for (size_t i = 0; i < count; i++) d_x[i] = y[i] > 0.0f ? d_y[i] : 0.0f;
}

void gradient_add(size_t count, const float *added, float *sum) {
    for (size_t i = 0; i < count; i++) sum[i] += added[i];
}
