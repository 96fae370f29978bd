/* SPDX-License-Identifier: Apache-2.0 */
/* The naive version of every layer, in double precision and straight from the definitions. The
 * tests compare the fast code with it. Arrays are (batch, height, width, channels). Gradients are
 * overwritten. */
#ifndef SGP_TESTS_MODEL_REFERENCE_H
#define SGP_TESTS_MODEL_REFERENCE_H

#include "base/random.h"
#include "model/layers/batch_norm.h"
#include "model/engine.h"
#include "model/layers/pooling.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define UNUSED __attribute__((unused))

/* OpenMP reads it at its first parallel region, so before any test runs. */
__attribute__((constructor)) static void use_one_thread(void) {
    setenv("OMP_NUM_THREADS", "1", 1);
}

static UNUSED void *make(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    assert_non_null(memory);
    return memory;
}

static UNUSED float *make_floats(size_t count) {
    return make(count, sizeof(float));
}

static UNUSED double *make_doubles(size_t count) {
    return make(count, sizeof(double));
}

/* Normal random numbers, times scale. */
static UNUSED float *make_random(size_t count, uint64_t seed, double scale) {
    float *values = make_floats(count);
    sgp_random_t random;
    sgp_random_init(&random, seed, 99);
    for (size_t i = 0; i < count; i++) values[i] = (float)(scale * sgp_random_normal(&random));
    return values;
}

static UNUSED double *to_doubles(const float *values, size_t count) {
    double *copy = make_doubles(count);
    for (size_t i = 0; values && i < count; i++) copy[i] = (double)values[i];
    return copy;
}

static UNUSED double largest_of(const double *values, size_t count) {
    double largest = 0.0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs(values[i]));
    return largest;
}

/* Every element within tolerance times the largest of the reference. */
static UNUSED void assert_close(const char *what, const float *values, const double *reference,
                                size_t count, double tolerance) {
    double allowed = tolerance * fmax(largest_of(reference, count), 1e-30);
    for (size_t i = 0; i < count; i++) {
        if (fabs((double)values[i] - reference[i]) <= allowed) continue; /* a NaN is not <= */
        fail_msg("%s: element %zu of %zu is %g, the reference %g (allowed %g)", what, i, count,
                 (double)values[i], reference[i], allowed);
    }
}

static UNUSED double dot(const float *a, const double *b, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += (double)a[i] * b[i];
    return sum;
}

typedef struct affine_sizes {
    size_t input, weight, output;
    int kernel_height, kernel_width, stride, padding;
} affine_sizes_t;

static UNUSED affine_sizes_t affine_sizes(const affine_options_t *o) {
    affine_sizes_t s = {.kernel_height = o->kernel ? o->kernel : o->in_height,
                        .kernel_width = o->kernel ? o->kernel : o->in_width,
                        .stride = o->kernel ? o->stride : 1,
                        .padding = o->kernel ? o->padding : 0};
    s.input = (size_t)o->batch * (size_t)(o->in_channels * o->in_height * o->in_width);
    s.output = (size_t)o->batch * (size_t)(o->out_channels * o->out_height * o->out_width);
    s.weight = (size_t)(o->out_channels * o->in_channels * s.kernel_height * s.kernel_width);
    return s;
}

typedef struct affine_arrays {
    const double *x, *w, *dy;
    double *y, *dx, *dw;
} affine_arrays_t;

/* The products of one output with one pixel. x, w, y: indices, for channel 0. */
static inline void affine_channels(const affine_arrays_t *a, size_t channels, size_t taps, size_t x,
                                   size_t w, size_t y) {
    double sum = 0.0;
    for (size_t c = 0; a->y && c < channels; c++) sum += a->x[x + c] * a->w[w + c * taps];
    if (a->y) a->y[y] += sum;
    for (size_t c = 0; a->dx && c < channels; c++) a->dx[x + c] += a->dy[y] * a->w[w + c * taps];
    for (size_t c = 0; a->dw && c < channels; c++) a->dw[w + c * taps] += a->dy[y] * a->x[x + c];
}

static UNUSED void affine_walk(const affine_options_t *o, const affine_arrays_t *a) {
    affine_sizes_t s = affine_sizes(o);
    for (int n = 0; n < o->batch; n++)
        for (int p = 0; p < o->out_height; p++)
            for (int q = 0; q < o->out_width; q++)
                for (int k = 0; k < o->out_channels; k++)
                    for (int r = 0; r < s.kernel_height; r++)
                        for (int t = 0; t < s.kernel_width; t++) {
                            int i = p * s.stride - s.padding + r, j = q * s.stride - s.padding + t;
                            if (i < 0 || i >= o->in_height || j < 0 || j >= o->in_width) continue;
                            size_t y = (size_t)(((n * o->out_height + p) * o->out_width + q) *
                                                    o->out_channels +
                                                k);
                            size_t x = (size_t)(((n * o->in_height + i) * o->in_width + j) *
                                                o->in_channels);
                            size_t taps = (size_t)(s.kernel_height * s.kernel_width);
                            size_t w = (size_t)k * (size_t)o->in_channels * taps +
                                       (size_t)(r * s.kernel_width + t);
                            affine_channels(a, (size_t)o->in_channels, taps, x, w, y);
                        }
}

static UNUSED void reference_affine_forward(const affine_options_t *o, const double *x,
                                            const double *w, const double *b, double *y) {
    size_t count = affine_sizes(o).output, channels = (size_t)o->out_channels;
    for (size_t i = 0; i < count; i++) y[i] = o->bias ? b[i % channels] : 0.0;
    affine_walk(o, &(affine_arrays_t){.x = x, .w = w, .y = y});
}

static UNUSED void reference_affine_backward(const affine_options_t *o, const double *x,
                                             const double *w, const double *dy, double *dw,
                                             double *db, double *dx) {
    affine_sizes_t s = affine_sizes(o);
    memset(dw, 0, s.weight * sizeof *dw);
    if (dx) memset(dx, 0, s.input * sizeof *dx);
    affine_walk(o, &(affine_arrays_t){.x = x, .w = w, .dy = dy, .dw = dw, .dx = dx});
    for (int k = 0; o->bias && k < o->out_channels; k++) db[k] = 0.0;
    for (size_t i = 0; o->bias && i < s.output; i++) db[i % (size_t)o->out_channels] += dy[i];
}

typedef struct reference_norm {
    size_t rows;
    int channels;
    bool relu;
    double *mean, *variance; /* (channels) */
} reference_norm_t;

static UNUSED void reference_norm_moments(reference_norm_t *n, const double *x) {
    for (int c = 0; c < n->channels; c++) {
        double sum = 0.0, squares = 0.0;
        for (size_t r = 0; r < n->rows; r++) sum += x[r * (size_t)n->channels + (size_t)c];
        n->mean[c] = sum / (double)n->rows;
        for (size_t r = 0; r < n->rows; r++) {
            double distance = x[r * (size_t)n->channels + (size_t)c] - n->mean[c];
            squares += distance * distance;
        }
        n->variance[c] = squares / (double)n->rows;
    }
}

/* With the mean and variance of n. residual: NULL for none. */
static UNUSED void reference_norm_forward(const reference_norm_t *n, const double *x,
                                          const double *scale, const double *shift,
                                          const double *residual, double *y) {
    for (size_t i = 0; i < n->rows * (size_t)n->channels; i++) {
        size_t c = i % (size_t)n->channels;
        double deviation = 1.0 / sqrt(n->variance[c] + 1e-5);
        y[i] = (x[i] - n->mean[c]) * deviation * scale[c] + shift[c];
        if (residual) y[i] += residual[i];
        if (n->relu && y[i] < 0.0) y[i] = 0.0;
    }
}

/* Through the batch's mean and variance. g: (rows, channels), the gradient of the residual. */
static UNUSED void reference_norm_backward(const reference_norm_t *n, const double *x,
                                           const double *y, const double *scale, const double *dy,
                                           double *g, double *dx, double *d_scale,
                                           double *d_shift) {
    size_t channels = (size_t)n->channels;
    double rows = (double)n->rows;
    for (size_t c = 0; c < channels; c++) {
        double deviation = 1.0 / sqrt(n->variance[c] + 1e-5), d_variance = 0.0, d_mean = 0.0;
        d_scale[c] = d_shift[c] = 0.0;
        for (size_t i = c; i < n->rows * channels; i += channels) {
            g[i] = n->relu && y[i] <= 0.0 ? 0.0 : dy[i];
            d_scale[c] += g[i] * (x[i] - n->mean[c]) * deviation;
            d_shift[c] += g[i];
            d_variance -=
                0.5 * g[i] * scale[c] * (x[i] - n->mean[c]) * deviation * deviation * deviation;
            d_mean -= g[i] * scale[c] * deviation;
        }
        for (size_t i = c; i < n->rows * channels; i += channels)
            dx[i] = g[i] * scale[c] * deviation + d_variance * 2.0 * (x[i] - n->mean[c]) / rows +
                    d_mean / rows;
    }
}

/* Forward if dx is NULL; else backward, where the first of equal winners takes the gradient. */
static UNUSED void reference_max_pool(const pooling_t *p, const double *x, double *y,
                                      const double *dy, double *dx) {
    size_t o = 0;
    if (dx) memset(dx, 0, sizeof *dx * (size_t)(p->batch * p->height * p->width * p->channels));
    for (int n = 0; n < p->batch; n++)
        for (int row = 0; row < p->out_height; row++)
            for (int column = 0; column < p->out_width; column++)
                for (int c = 0; c < p->channels; c++, o++) {
                    double best = -INFINITY;
                    size_t winner = 0;
                    for (int r = 0; r < p->kernel; r++)
                        for (int t = 0; t < p->kernel; t++) {
                            int i = row * p->stride - p->padding + r;
                            int j = column * p->stride - p->padding + t;
                            if (i < 0 || i >= p->height || j < 0 || j >= p->width) continue;
                            size_t at =
                                (size_t)(((n * p->height + i) * p->width + j) * p->channels + c);
                            if (x[at] > best) best = x[winner = at];
                        }
                    if (!dx) y[o] = p->relu && best < 0.0 ? 0.0 : best;
                    else if (!p->relu || best > 0.0) dx[winner] += dy[o];
                }
}

/* The mean loss over the first `valid` samples; d_logits as in loss.h. */
static UNUSED double reference_loss(int count, int valid, int classes, const double *logits,
                                    const int32_t *labels, double *d_logits) {
    double loss = 0.0;
    memset(d_logits, 0, sizeof *d_logits * (size_t)(count * classes));
    for (int i = 0; i < valid; i++) {
        const double *z = logits + i * classes;
        double sum = 0.0;
        for (int j = 0; j < classes; j++) sum += exp(z[j]);
        for (int j = 0; j < classes; j++)
            d_logits[i * classes + j] = (exp(z[j]) / sum - (j == labels[i])) / valid;
        loss += (log(sum) - z[labels[i]]) / valid;
    }
    return loss;
}

#endif
