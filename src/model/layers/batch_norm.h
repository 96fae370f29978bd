/* SPDX-License-Identifier: Apache-2.0 */
/* Batch normalisation (Ioffe, Szegedy 2015), fused with the residual addition and the ReLU behind
 * it:
 *
 *     y = relu(scale (x - mean) / sqrt(variance + 1e-5) + shift + residual)
 *
 * where ReLU and residual are optional. One pass computes the statistics and one the rest; these
 * loops are bound by memory, so each pass saved saves its time.
 *
 * Arrays of activations are (rows, channels), rows being batch x height x width. Sums over rows are
 * taken per channel, over short runs in float and over the runs in double, in an order that depends
 * on the shape alone. */
#ifndef SGP_MODEL_LAYERS_BATCH_NORM_H
#define SGP_MODEL_LAYERS_BATCH_NORM_H

#include "model/arena.h"
#include "model/element.h"
#include "model/layers/layer_kernels.h"

#include <sgp/status.h>
#include <stdbool.h>

#define BATCH_NORM_EPSILON  1e-5
#define BATCH_NORM_MOMENTUM 0.1 /* weight of the new batch in the running statistics */

typedef struct batch_norm {
    size_t rows;
    int channels;
    bool relu;
    element_t element; /* of x, y, residual and their gradients */
    const kernels_t *kernels;
    size_t runs_rows; /* rows of the kernels, see batch_norm.c */
    int columns;
    float *mean; /* (columns), as factor and offset: y = (x - mean) factor + offset */
    float *factor;
    float *offset;
    float *slope; /* (columns), as constant: d_x = factor d_y + slope (x - mean) + constant */
    float *constant;
    double *sums;     /* (2, columns) */
    float *deviation; /* (channels) 1 / sqrt(variance + epsilon) of the last training batch */
} batch_norm_t;

typedef struct batch_norm_options {
    size_t rows;
    int channels; /* a multiple of 16 */
    bool relu;
    element_t element;
} batch_norm_options_t;

/* SGP_ERR_INVALID: channels. SGP_ERR_NO_MEMORY. Nothing to undo. */
sgp_status_t batch_norm_init(batch_norm_t *norm, arena_t *arena,
                             const batch_norm_options_t *options);

/* Joins the moments of two sets of samples (Chan, Golub, LeVeque 1979): no cancellation, however
 * far the mean is from zero. before, added: the samples in each. */
static inline void batch_norm_join(double before, double added, double added_sum,
                                   double added_squares, double *mean, double *squares) {
    double distance = added_sum / added - *mean;
    double share = added / (before + added);
    *mean += distance * share;
    *squares += added_squares + distance * distance * before * share;
}

/* Normalises with the batch's own mean and (biased) variance, and moves the running ones towards
 * them (the variance unbiased, as PyTorch does). residual: NULL for none. */
void batch_norm_train(batch_norm_t *norm, const void *x, const float *scale, const float *shift,
                      const void *residual, void *y, float *running_mean, float *running_variance);

/* Normalises with the running statistics. */
void batch_norm_evaluate(batch_norm_t *norm, const void *x, const float *scale, const float *shift,
                         const void *residual, void *y, const float *running_mean,
                         const float *running_variance);

/* The gradient with respect to y is d_y + d_y_more (NULL: d_y alone). */
typedef struct batch_norm_gradients {
    void *d_y;            /* in place, if keep_residual: becomes the gradient of the residual */
    const void *d_y_more; /* NULL for none */
    bool keep_residual;   /* the forward pass had a residual */
    void *d_x;            /* may be d_y (without keep_residual) or d_y_more's memory */
    float *d_scale;       /* (channels) overwritten */
    float *d_shift;       /* (channels) overwritten */
} batch_norm_gradients_t;

/* After batch_norm_train with the same x and y. y is read only if there was a residual. */
void batch_norm_backward(batch_norm_t *norm, const void *x, const void *y,
                         const batch_norm_gradients_t *gradients);

#endif
