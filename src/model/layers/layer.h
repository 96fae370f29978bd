/* SPDX-License-Identifier: Apache-2.0 */
/* One layer of a network with its shapes, memory and kernels. model.c, plan.c and tensors.c call
 * this header; the other files of the folder layers are the kernels that layer.c dispatches to, and
 * the loss. A kernel sees arrays only, and never the network, the engine of another layer, or a
 * node. */
#ifndef SGP_MODEL_LAYERS_LAYER_H
#define SGP_MODEL_LAYERS_LAYER_H

#include "model/layers/batch_norm.h"
#include "model/engine.h"
#include "model/network.h"
#include "model/layers/pooling.h"

#include <sgp/status.h>
#include <stddef.h>

/* An input or output of layers: the images, or the output of one layer. */
typedef struct value {
    int batch, height, width, channels;
    element_t element; /* of data */
    const void *data;  /* (batch, height, width, channels) */
    void *storage;     /* the same array, for the layer that writes it; NULL for the images */
    int readers;       /* layers that read it, at most 2 */
    /* One per reader, shaped as data; their sum is the gradient of the loss with respect to the
     * value. NULL for the images. plan.c assigns their memory. */
    element_t gradient_element;
    void *gradients[2];
} value_t;

typedef struct layer {
    layer_spec_t spec;
    value_t *input, *output;
    value_t *residual; /* NULL: none */
    /* One of the input's gradients; NULL: not computed. The gradient of the residual is what the
     * layer leaves in the output's first gradient. */
    void *d_input;
    /* In floats from the start of their vectors. A batch norm's scale and shift are its weight and
     * bias; its running mean and variance are the buffers. */
    size_t weight, weight_count;
    size_t bias, bias_count; /* directly behind the weight */
    size_t buffers, buffer_count;
    /* Of the kind of the layer; the others are unused. */
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
 * SGP_ERR_INVALID: the image is smaller than the window, or the residual has another shape. */
sgp_status_t layer_infer(layer_t *layer);

/* Builds the kernels. After a failure, layer_fini undoes the part that was built. */
sgp_status_t layer_init(layer_t *layer, arena_t *arena, engine_t *engine);
void layer_fini(layer_t *layer);

/* From the input's (and the residual's) data to the output's. */
sgp_status_t layer_forward(layer_t *layer, const pass_t *pass);

/* From the output's gradients to d_input and the layer's part of pass->gradient. The output's
 * gradients are overwritten; the first one then holds the residual's gradient. */
sgp_status_t layer_backward(layer_t *layer, const pass_t *pass);

/* Whether the backward pass of the layer reads its input; its output. Where neither the layer that
 * writes a value nor one that reads it does, the value's memory is free after the forward pass. */
bool layer_keeps_input(const layer_t *layer);
bool layer_keeps_output(const layer_t *layer);

/* Elements of a value over the whole batch. */
size_t value_count(const value_t *value);

/* Bytes of its data, and of one of its gradients. */
size_t value_bytes(const value_t *value);
size_t value_gradient_bytes(const value_t *value);

#endif
