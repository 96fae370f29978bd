/* SPDX-License-Identifier: Apache-2.0 */
/* A layer at work: a line of the network's list with its shapes, its memory and its kernels. */
#ifndef SGP_MODEL_LAYERS_LAYER_H
#define SGP_MODEL_LAYERS_LAYER_H

#include "model/layers/batch_norm.h"
#include "model/engine.h"
#include "model/network.h"
#include "model/layers/pooling.h"

#include <sgp/status.h>
#include <stddef.h>

/* What layers read and write: the images, or one layer's output. */
typedef struct value {
    int batch, height, width, channels;
    const float *data; /* (batch, height, width, channels) */
    float *storage;    /* the same, to the layer that writes it; NULL for the images */
    int readers;       /* layers that read it, at most 2 */
    /* One per reader, shaped as data; their sum is the gradient of the loss with respect to the
     * value. Those of the images stay NULL. plan.c decides where they lie. */
    float *gradients[2];
} value_t;

typedef struct layer {
    layer_spec_t spec;
    value_t *input, *output;
    value_t *residual; /* NULL: none */
    /* One of the input's gradients; NULL: not wanted. The residual's is the output's first
     * gradient, as the layer leaves it. */
    float *d_input;
    /* In floats from the start of their vectors. A batch norm's scale and shift are its weight and
     * bias; its running mean and variance are the buffers. */
    size_t weight, weight_count;
    size_t bias, bias_count; /* directly behind the weight */
    size_t buffers, buffer_count;
    /* Those that the kind has. */
    affine_t *affine;
    batch_norm_t norm;
    pooling_t pooling;
} layer_t;

/* The caller's vectors during one call of the model. */
typedef struct pass {
    const float *parameters;
    float *buffers;               /* in training */
    const float *running_buffers; /* in evaluation */
    float *gradient;              /* in training */
    bool training;
} pass_t;

/* Sets the shape of the layer's output and the sizes of its tensors from spec, input and residual.
 * SGP_ERR_INVALID: nothing would be left of the image, or the residual has another shape. */
sgp_status_t layer_infer(layer_t *layer);

/* Builds the kernels. After a failure, layer_fini undoes the part that was built. */
sgp_status_t layer_init(layer_t *layer, arena_t *arena, engine_t *engine);
void layer_fini(layer_t *layer);

/* From the input's (and the residual's) data to the output's. */
sgp_status_t layer_forward(layer_t *layer, const pass_t *pass);

/* From the output's gradients to d_input and the layer's part of pass->gradient. The output's
 * gradients are used up; what is left in the first one is the residual's. */
sgp_status_t layer_backward(layer_t *layer, const pass_t *pass);

/* Floats of a value over the whole batch. */
size_t value_count(const value_t *value);

#endif
