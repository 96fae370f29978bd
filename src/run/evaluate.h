/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluates parameters on the test set, or on a node's slice of it. */
#ifndef SGP_RUN_EVALUATE_H
#define SGP_RUN_EVALUATE_H

#include "data/loader.h"
#include "model/model.h"

typedef struct evaluation {
    double loss_sum; /* of the cross-entropy */
    uint64_t correct;
    uint64_t count; /* samples */
} evaluation_t;

/* All borrowed. */
typedef struct evaluator {
    model_t *model;
    const loader_t *loader;
    int batch;       /* samples per call of the model */
    float *images;   /* (batch, sample) scratch */
    int32_t *labels; /* (batch) scratch */
} evaluator_t;

/* The first sample of slice `rank` when `count` samples are cut into `size` slices; a slice ends
 * where the next begins. Slices differ by one sample at most. */
uint32_t evaluate_slice(uint32_t count, int rank, int size);

/* Evaluates test samples [first, end). The errors of model_evaluate. */
sgp_status_t evaluate(const evaluator_t *evaluator, const float *parameters, const float *buffers,
                      uint32_t first, uint32_t end, evaluation_t *result);

#endif
