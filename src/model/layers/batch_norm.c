/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers/batch_norm.h"

#include "base/logging.h"
#include "model/layers/layer_kernels.h"

#include <math.h>

/* Columns of the narrowest loops, and of those that keep enough sums in flight. */
enum { NARROW = 16, WIDE = 32 };

sgp_status_t batch_norm_init(batch_norm_t *norm, arena_t *arena,
                             const batch_norm_options_t *options) {
    int channels = options->channels;
    size_t rows = options->rows;
    if (channels < 1 || channels % NARROW)
        return sgp_fail(SGP_ERR_INVALID, "batch norm has %d channels, it takes a multiple of %d",
                        channels, NARROW);
    /* Two rows of 16 channels are treated as one of 32, which keeps more sums in flight. */
    int fold = channels % WIDE && rows % 2 == 0 ? 2 : 1;
    *norm = (batch_norm_t){.rows = rows,
                           .channels = channels,
                           .relu = options->relu,
                           .element = options->element,
                           .kernels = kernels_best(),
                           .runs_rows = rows / (size_t)fold,
                           .columns = channels * fold};
    size_t columns = (size_t)norm->columns;
    norm->mean = arena_floats(arena, columns);
    norm->factor = arena_floats(arena, columns);
    norm->offset = arena_floats(arena, columns);
    norm->slope = arena_floats(arena, columns);
    norm->constant = arena_floats(arena, columns);
    norm->deviation = arena_floats(arena, (size_t)channels);
    norm->sums = arena_alloc(arena, 2 * columns * sizeof(double));
    if (norm->mean && norm->factor && norm->offset && norm->slope && norm->constant &&
        norm->deviation && norm->sums)
        return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a batch norm of %d channels", channels);
}

/* One channel's constants into the columns that hold it. */
static void set_channel(batch_norm_t *norm, int channel, double mean, double factor, double shift) {
    for (int c = channel; c < norm->columns; c += norm->channels) {
        norm->mean[c] = (float)mean;
        norm->factor[c] = (float)factor;
        norm->offset[c] = (float)shift;
    }
}

void batch_norm_train(batch_norm_t *norm, const void *x, const float *scale, const float *shift,
                      const void *residual, void *y, float *running_mean, float *running_variance) {
    double *means = norm->sums, *squares = norm->sums + norm->columns;
    double rows = (double)norm->rows, column_rows = (double)norm->runs_rows;
    norm->kernels->norm_moments(norm, x, means, squares);
    for (int c = 0; c < norm->channels; c++) {
        double mean = means[c], square = squares[c];
        for (int d = c + norm->channels; d < norm->columns; d += norm->channels)
            batch_norm_join(column_rows, column_rows, means[d] * column_rows, squares[d], &mean,
                            &square);
        double variance = square / rows;
        double deviation = 1.0 / sqrt(variance + BATCH_NORM_EPSILON);
        double unbiased = rows > 1.0 ? square / (rows - 1.0) : variance;
        norm->deviation[c] = (float)deviation;
        set_channel(norm, c, mean, (double)scale[c] * deviation, (double)shift[c]);
        running_mean[c] += (float)(BATCH_NORM_MOMENTUM * (mean - (double)running_mean[c]));
        running_variance[c] +=
            (float)(BATCH_NORM_MOMENTUM * (unbiased - (double)running_variance[c]));
    }
    norm->kernels->norm_apply(norm, x, residual, y);
}

void batch_norm_evaluate(batch_norm_t *norm, const void *x, const float *scale, const float *shift,
                         const void *residual, void *y, const float *running_mean,
                         const float *running_variance) {
    for (int c = 0; c < norm->channels; c++) {
        double variance = (double)running_variance[c];
        if (variance < 0) variance = 0; /* a node's, rounded to travel; a NaN stays one */
        double deviation = 1.0 / sqrt(variance + BATCH_NORM_EPSILON);
        set_channel(norm, c, (double)running_mean[c], (double)scale[c] * deviation,
                    (double)shift[c]);
    }
    norm->kernels->norm_apply(norm, x, residual, y);
}

/* The gradients of scale and shift from the sums, and the constants of the second pass:
 * d_x = scale deviation (g - mean g - (x - mean) deviation^2 mean(g (x - mean))). */
static void finish_sums(batch_norm_t *norm, float *d_scale, float *d_shift) {
    const double *sum = norm->sums, *product = norm->sums + norm->columns;
    double rows = (double)norm->rows;
    for (int c = 0; c < norm->channels; c++) {
        double total = 0.0, products = 0.0, deviation = (double)norm->deviation[c];
        for (int d = c; d < norm->columns; d += norm->channels) {
            total += sum[d];
            products += product[d];
        }
        d_shift[c] = (float)total;
        d_scale[c] = (float)(products * deviation);
        double factor = (double)norm->factor[c];
        for (int d = c; d < norm->columns; d += norm->channels) {
            norm->slope[d] = (float)(-factor * deviation * deviation * products / rows);
            norm->constant[d] = (float)(-factor * total / rows);
        }
    }
}

void batch_norm_backward(batch_norm_t *norm, const void *x, const void *y,
                         const batch_norm_gradients_t *gradients) {
    /* Without a residual the mask of the ReLU is computed from x, which is read anyway. */
    bool masked = norm->relu && gradients->keep_residual;
    upstream_t up = {gradients->d_y, gradients->d_y_more, masked ? y : NULL};
    norm->kernels->norm_sums(norm, x, &up);
    finish_sums(norm, gradients->d_scale, gradients->d_shift);
    norm->kernels->norm_spread(norm, x, &up, gradients->d_x);
}
