/* SPDX-License-Identifier: Apache-2.0 */
/* Structs that the calls of model.h return and the parts of a model fill in. Callers include
 * model.h. */
#ifndef SGP_MODEL_MODEL_TYPES_H
#define SGP_MODEL_MODEL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One named tensor inside the flat parameter vector (or inside the buffers). */
typedef struct model_tensor {
    const char *name; /* unique, such as "conv1.weight"; owned by the model */
    size_t offset;    /* floats from the start of its vector */
    size_t count;     /* floats */
    int dims;
    int64_t shape[4]; /* (dims) plain layout, outermost first */
    bool is_buffer; /* in the buffers (batch-norm running mean and variance), not in the parameters
                     */
    bool decays;    /* weight decay applies: false for batch-norm scale and shift */
} model_tensor_t;

/* The result of a forward pass over some samples. */
typedef struct model_result {
    double loss_sum; /* over the valid samples: cross-entropy, in training with label smoothing */
    int correct;     /* valid samples whose largest logit is that of the label */
    int correct5;    /* valid samples whose label has one of the five largest logits */
    uint64_t backward_ns; /* sgp_clock_now when the backward pass began; 0 without one */
} model_result_t;

/* A layer, in running order, for people to read. */
typedef struct model_layer {
    const char *name;            /* owned by the model */
    const char *kind;            /* "convolution", ...; static */
    int height, width, channels; /* of its output for one sample */
    size_t parameters;
    double multiply_adds; /* of the forward pass over one sample; 0 but for convolution and dense */
} model_layer_t;

/* The memory that a model holds, in bytes. */
typedef struct model_memory {
    size_t weights;     /* private copies of weights and their gradients, and constants of layers */
    size_t scratchpad;  /* shared by all layers */
    size_t activations; /* kept from the forward pass for the backward pass */
    size_t gradients;   /* of activations; layers share them */
} model_memory_t;

#endif
