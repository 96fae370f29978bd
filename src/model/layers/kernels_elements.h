/* SPDX-License-Identifier: Apache-2.0 */
/* Element by element: the ReLU alone, sums of gradients, rounding. See layer_kernels.h. */
#ifndef SGP_MODEL_LAYERS_KERNELS_ELEMENTS_H
#define SGP_MODEL_LAYERS_KERNELS_ELEMENTS_H

#include "model/layers/lanes.h"

LANES_INLINE void relu_forward_body(element_t element, size_t count, const void *x, void *y) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        lanes_t value;
        lanes_load(x, i, element, &value);
        lanes_rectify(&value);
        lanes_store(y, i, element, &value);
    }
    for (; i < count; i++) {
        float value = lane_load(x, i, element);
        lane_store(y, i, element, value <= 0.0f ? 0.0f : value);
    }
}

static void elements_relu_forward(element_t element, size_t count, const void *x, void *y) {
    if (element == ELEMENT_BFLOAT16) relu_forward_body(ELEMENT_BFLOAT16, count, x, y);
    else relu_forward_body(ELEMENT_FLOAT32, count, x, y);
}

LANES_INLINE void relu_backward_body(element_t element, size_t count, const void *y,
                                     const void *d_y, void *d_x) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        lanes_t output, gradient;
        lanes_load(y, i, element, &output);
        lanes_load(d_y, i, element, &gradient);
        gradient = (lanes_t)((lanes_mask_t)gradient & (lanes_mask_t)(output > (lanes_t){0}));
        lanes_store(d_x, i, element, &gradient);
    }
    for (; i < count; i++)
        lane_store(d_x, i, element,
                   lane_load(y, i, element) > 0.0f ? lane_load(d_y, i, element) : 0.0f);
}

static void elements_relu_backward(element_t element, size_t count, const void *y, const void *d_y,
                                   void *d_x) {
    if (element == ELEMENT_BFLOAT16) relu_backward_body(ELEMENT_BFLOAT16, count, y, d_y, d_x);
    else relu_backward_body(ELEMENT_FLOAT32, count, y, d_y, d_x);
}

LANES_INLINE void add_body(element_t element, size_t count, const void *added, void *sum) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        lanes_t a, b;
        lanes_load(sum, i, element, &a);
        lanes_load(added, i, element, &b);
        a += b;
        lanes_store(sum, i, element, &a);
    }
    for (; i < count; i++)
        lane_store(sum, i, element, lane_load(sum, i, element) + lane_load(added, i, element));
}

static void elements_add(element_t element, size_t count, const void *added, void *sum) {
    if (element == ELEMENT_BFLOAT16) add_body(ELEMENT_BFLOAT16, count, added, sum);
    else add_body(ELEMENT_FLOAT32, count, added, sum);
}

static void elements_round(size_t count, const float *from, void *to) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) lanes_store(to, i, ELEMENT_BFLOAT16, lanes_at(from + i));
    for (; i < count; i++) lane_store(to, i, ELEMENT_BFLOAT16, from[i]);
}

#endif
