/* SPDX-License-Identifier: Apache-2.0 */
/* All kernels at one width; kernels_4.c, kernels_8.c and kernels_16.c include it once each. */
#ifndef SGP_MODEL_LAYERS_KERNELS_TABLE_H
#define SGP_MODEL_LAYERS_KERNELS_TABLE_H

#include "model/layers/layer_kernels.h"

#include "model/layers/kernels_elements.h"
#include "model/layers/kernels_norm.h"
#include "model/layers/kernels_pooling.h"

extern const kernels_t kernels_4, kernels_8, kernels_16;

#define KERNELS_TABLE                                                                              \
    {                                                                                              \
        .lanes = LANES, .norm_moments = norm_moments, .norm_apply = norm_apply,                    \
        .norm_sums = norm_sums, .norm_spread = norm_spread, .max_forward = max_forward,            \
        .max_backward = max_backward, .average_forward = average_forward,                          \
        .average_backward = average_backward, .relu_forward = elements_relu_forward,               \
        .relu_backward = elements_relu_backward, .add = elements_add, .round = elements_round,     \
    }

#endif
