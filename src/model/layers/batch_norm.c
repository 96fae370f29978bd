/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers/batch_norm.h"

#include "base/logging.h"
#include "model/layers/lanes.h"

#include <math.h>

/* Rows summed in float before the sum is added to a double; they stay in the first-level cache for
 * the second pass, of the variance. */
enum { RUN = 64 };

/* Vectors of columns that are summed side by side. A single sum would wait for each addition; more
 * vectors than these would exceed the registers. */
enum { WIDE = 8, NARROW = 4 };

sgp_status_t batch_norm_init(batch_norm_t *norm, arena_t *arena, size_t rows, int channels,
                             bool relu) {
    if (channels < 1 || channels % (NARROW * LANES))
        return sgp_fail(SGP_ERR_INVALID, "batch norm has %d channels, it takes a multiple of %d",
                        channels, NARROW * LANES);
    /* Two rows of 16 channels are treated as one of 32, which keeps more sums in flight. */
    int fold = channels % (WIDE * LANES) && rows % 2 == 0 ? 2 : 1;
    *norm = (batch_norm_t){.rows = rows,
                           .channels = channels,
                           .relu = relu,
                           .runs_rows = rows / (size_t)fold,
                           .columns = channels * fold};
    size_t columns = (size_t)norm->columns;
    norm->mean = arena_floats(arena, columns);
    norm->factor = arena_floats(arena, columns);
    norm->offset = arena_floats(arena, columns);
    norm->slope = arena_floats(arena, columns);
    norm->deviation = arena_floats(arena, (size_t)channels);
    norm->sums = arena_alloc(arena, 2 * columns * sizeof(double));
    if (norm->mean && norm->factor && norm->offset && norm->slope && norm->deviation && norm->sums)
        return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a batch norm of %d channels", channels);
}

/* sum = of rows, squares = of squared distances from sum / rows, over one run and `vectors` vectors
 * of columns. */
LANES_INLINE void run_moments(size_t rows, int columns, const float *x, int vectors, lanes_t *sum,
                              lanes_t *squares) {
    for (int v = 0; v < vectors; v++) sum[v] = squares[v] = (lanes_t){0};
    for (size_t r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) sum[v] += *lanes_at(x + r * columns + v * LANES);
    float share = 1.0f / (float)rows;
    for (size_t r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++) {
            lanes_t distance = *lanes_at(x + r * columns + v * LANES) - sum[v] * share;
            squares[v] += distance * distance;
        }
    }
}

/* Joins the moments of two sets of samples (Chan, Golub, LeVeque 1979): no cancellation, however
 * far the mean is from zero. */
LANES_INLINE void join_moments(double before, double added, double added_sum, double added_squares,
                               double *mean, double *squares) {
    double distance = added_sum / added - *mean;
    double share = added / (before + added);
    *mean += distance * share;
    *squares += added_squares + distance * distance * before * share;
}

LANES_INLINE void moments_body(size_t rows, int columns, const float *x, double *mean,
                               double *squares, int vectors) {
    for (int c = 0; c < columns; c++) mean[c] = squares[c] = 0.0;
    for (size_t start = 0; start < rows; start += RUN) {
        size_t count = rows - start < RUN ? rows - start : RUN;
        for (int c = 0; c < columns; c += vectors * LANES) {
            lanes_t sum[WIDE], square[WIDE];
            run_moments(count, columns, x + start * (size_t)columns + c, vectors, sum, square);
            for (int v = 0; v < vectors; v++)
                for (int i = 0; i < LANES; i++)
                    join_moments((double)start, (double)count, (double)sum[v][i],
                                 (double)square[v][i], &mean[c + v * LANES + i],
                                 &squares[c + v * LANES + i]);
        }
    }
}

static void moments(size_t rows, int columns, const float *x, double *mean, double *squares) {
    if (columns % (WIDE * LANES) == 0) moments_body(rows, columns, x, mean, squares, WIDE);
    else moments_body(rows, columns, x, mean, squares, NARROW);
}

/* Zeroes all but positive values and NaN, which passes so that it is noticed. */
LANES_INLINE void rectify(lanes_t *value) {
    *value = (lanes_t)((lanes_mask_t)*value & ~(*value <= (lanes_t){0}));
}

LANES_INLINE void apply_body(const batch_norm_t *norm, const float *x, const float *residual,
                             float *y, bool add, bool relu) {
    int columns = norm->columns;
    const float *mean = norm->mean, *factor = norm->factor, *offset = norm->offset;
    for (size_t r = 0; r < norm->runs_rows; r++) {
        for (int c = 0; c < columns; c += LANES) {
            size_t i = r * (size_t)columns + (size_t)c;
            lanes_t value = (*lanes_at(x + i) - *lanes_at(mean + c)) * *lanes_at(factor + c) +
                            *lanes_at(offset + c);
            if (add) value += *lanes_at(residual + i);
            if (relu) rectify(&value);
            *lanes_into(y + i) = value;
        }
    }
}

static void apply(const batch_norm_t *norm, const float *x, const float *residual, float *y) {
    if (residual && norm->relu) apply_body(norm, x, residual, y, true, true);
    else if (residual) apply_body(norm, x, residual, y, true, false);
    else if (norm->relu) apply_body(norm, x, NULL, y, false, true);
    else apply_body(norm, x, NULL, y, false, false);
}

/* One channel's constants into the columns that hold it. */
static void set_channel(batch_norm_t *norm, int channel, double mean, double factor, double shift) {
    for (int c = channel; c < norm->columns; c += norm->channels) {
        norm->mean[c] = (float)mean;
        norm->factor[c] = (float)factor;
        norm->offset[c] = (float)shift;
    }
}

void batch_norm_train(batch_norm_t *norm, const float *x, const float *scale, const float *shift,
                      const float *residual, float *y, float *running_mean,
                      float *running_variance) {
    double *means = norm->sums, *squares = norm->sums + norm->columns;
    double rows = (double)norm->rows, column_rows = (double)norm->runs_rows;
    moments(norm->runs_rows, norm->columns, x, means, squares);
    for (int c = 0; c < norm->channels; c++) {
        double mean = means[c], square = squares[c];
        for (int d = c + norm->channels; d < norm->columns; d += norm->channels)
            join_moments(column_rows, column_rows, means[d] * column_rows, squares[d], &mean,
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
    apply(norm, x, residual, y);
}

void batch_norm_evaluate(batch_norm_t *norm, const float *x, const float *scale, const float *shift,
                         const float *residual, float *y, const float *running_mean,
                         const float *running_variance) {
    for (int c = 0; c < norm->channels; c++) {
        double deviation = 1.0 / sqrt((double)running_variance[c] + BATCH_NORM_EPSILON);
        set_channel(norm, c, (double)running_mean[c], (double)scale[c] * deviation,
                    (double)shift[c]);
    }
    apply(norm, x, residual, y);
}

/* The inputs of the gradient kernels. */
typedef struct upstream {
    const float *y; /* NULL: no ReLU */
    const float *more;
    float *d_y;
} upstream_t;

/* The gradient at the vector that starts at i: the sum of both readers', masked by the ReLU. */
LANES_INLINE void load_gradient(const upstream_t *up, size_t i, bool relu, bool more,
                                lanes_t *gradient) {
    *gradient = *lanes_at(up->d_y + i);
    if (more) *gradient += *lanes_at(up->more + i);
    if (relu)
        *gradient = (lanes_t)((lanes_mask_t)*gradient & (*lanes_at(up->y + i) > (lanes_t){0}));
}

/* Sums of g and of g (x - mean) over the rows. With `keep`, g is written over d_y: it is the
 * gradient of a residual, and the second pass need not add and mask again. */
LANES_INLINE void sums_body(const batch_norm_t *norm, const float *x, const upstream_t *up,
                            bool relu, bool more, bool keep, int vectors) {
    int columns = norm->columns;
    double *sum = norm->sums, *product = norm->sums + columns;
    for (int c = 0; c < columns; c++) sum[c] = product[c] = 0.0;
    for (size_t start = 0; start < norm->runs_rows; start += RUN) {
        size_t end = norm->runs_rows - start < RUN ? norm->runs_rows : start + RUN;
        for (int c = 0; c < columns; c += vectors * LANES) {
            lanes_t s[WIDE] = {{0}}, p[WIDE] = {{0}};
            for (size_t r = start; r < end; r++) {
                for (int v = 0; v < vectors; v++) {
                    size_t i = r * (size_t)columns + (size_t)(c + v * LANES);
                    lanes_t g;
                    load_gradient(up, i, relu, more, &g);
                    if (keep) *lanes_into(up->d_y + i) = g;
                    s[v] += g;
                    p[v] += g * (*lanes_at(x + i) - *lanes_at(norm->mean + c + v * LANES));
                }
            }
            for (int v = 0; v < vectors; v++) {
                for (int i = 0; i < LANES; i++) {
                    sum[c + v * LANES + i] += (double)s[v][i];
                    product[c + v * LANES + i] += (double)p[v][i];
                }
            }
        }
    }
}

LANES_INLINE void sums_flags(const batch_norm_t *norm, const float *x, const upstream_t *up,
                             bool keep, int vectors) {
    bool relu = up->y != NULL;
    if (up->more && relu) sums_body(norm, x, up, true, true, true, vectors);
    else if (up->more) sums_body(norm, x, up, false, true, true, vectors);
    else if (relu && keep) sums_body(norm, x, up, true, false, true, vectors);
    else if (relu) sums_body(norm, x, up, true, false, false, vectors);
    /* Without a ReLU and a second reader, d_y is g. */
    else sums_body(norm, x, up, false, false, false, vectors);
}

static void sums(const batch_norm_t *norm, const float *x, const upstream_t *up, bool keep) {
    if (norm->columns % (WIDE * LANES) == 0) sums_flags(norm, x, up, keep, WIDE);
    else sums_flags(norm, x, up, keep, NARROW);
}

/* d_x = factor g + slope (x - mean) + offset. */
LANES_INLINE void spread_body(const batch_norm_t *norm, const float *x, const upstream_t *up,
                              float *d_x, bool relu) {
    int columns = norm->columns;
    const float *mean = norm->mean, *factor = norm->factor;
    const float *slope = norm->slope, *constant = norm->offset;
    for (size_t r = 0; r < norm->runs_rows; r++) {
        for (int c = 0; c < columns; c += LANES) {
            size_t i = r * (size_t)columns + (size_t)c;
            lanes_t g;
            load_gradient(up, i, relu, false, &g);
            *lanes_into(d_x + i) =
                g * *lanes_at(factor + c) +
                ((*lanes_at(x + i) - *lanes_at(mean + c)) * *lanes_at(slope + c) +
                 *lanes_at(constant + c));
        }
    }
}

static void spread(const batch_norm_t *norm, const float *x, const upstream_t *up, float *d_x,
                   bool relu) {
    if (relu) spread_body(norm, x, up, d_x, true);
    else spread_body(norm, x, up, d_x, false);
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
            norm->offset[d] = (float)(-factor * total / rows);
        }
    }
}

void batch_norm_backward(batch_norm_t *norm, const float *x, const float *y,
                         const batch_norm_gradients_t *gradients) {
    upstream_t up = {norm->relu ? y : NULL, gradients->d_y_more, gradients->d_y};
    bool kept = gradients->keep_residual || gradients->d_y_more;
    sums(norm, x, &up, kept);
    finish_sums(norm, gradients->d_scale, gradients->d_shift);
    spread(norm, x, &up, gradients->d_x, norm->relu && !kept);
}
