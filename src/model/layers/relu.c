/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers/relu.h"

#include "model/layers/layer_kernels.h"

void relu_forward(element_t element, size_t count, const void *x, void *y) {
    kernels_best()->relu_forward(element, count, x, y);
}

void relu_backward(element_t element, size_t count, const void *y, const void *d_y, void *d_x) {
    kernels_best()->relu_backward(element, count, y, d_y, d_x);
}

void gradient_add(element_t element, size_t count, const void *added, void *sum) {
    kernels_best()->add(element, count, added, sum);
}
