/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluates models on the test set, or on a slice of it. */
#ifndef SGP_RUN_EVALUATE_H
#define SGP_RUN_EVALUATE_H

#include "data/feed.h"
#include "model/model.h"

typedef struct evaluation {
    double loss_sum; /* of the cross-entropy */
    uint64_t correct;
    uint64_t correct5; /* whose label is among the five classes that the model finds likeliest */
    uint64_t count;    /* samples */
    uint64_t left_out; /* pictures that could not be read */
} evaluation_t;

/* Values of a model: both borrowed. */
typedef struct evaluate_values {
    const float *parameters; /* (P) */
    const float *buffers;    /* (S) */
} evaluate_values_t;

/* The first sample of slice `rank` when `count` samples are cut into `size` slices; a slice ends
 * where the next begins. Slices differ by one sample at most. */
uint64_t evaluate_slice(uint64_t count, int rank, int size);

/* Evaluates test samples [first, end) by the model with each of the values, reading each sample once. The feed's batch
 * fits the model. The errors of feed_next and model_evaluate. */
sgp_status_t evaluate(feed_t *feed, model_t *model, const evaluate_values_t *values /* (count) */,
                      int count, uint64_t first, uint64_t end, evaluation_t *results /* (count) */);

#endif
