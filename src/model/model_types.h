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
    double loss_sum;      /* sum of the cross-entropy over the valid samples */
    int correct;          /* valid samples whose largest logit is that of the label */
    uint64_t backward_ns; /* sgp_clock_now when the backward pass began; 0 without one */
} model_result_t;

#endif
