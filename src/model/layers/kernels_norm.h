/* SPDX-License-Identifier: Apache-2.0 */
/* The passes of batch norm over its activations. See layer_kernels.h and batch_norm.h. Sums are taken per
 * column, so that the width of the vectors does not change them. */
#ifndef SGP_MODEL_LAYERS_KERNELS_NORM_H
#define SGP_MODEL_LAYERS_KERNELS_NORM_H

#include "model/layers/batch_norm.h"
#include "model/layers/lanes.h"

/* Rows summed in float before the sum is added to a double; they stay in the first-level cache for
 * the second pass, of the variance. */
enum { RUN = 64 };

/* Vectors of columns that are summed side by side. A single sum would wait for each addition; more
 * vectors than these would exceed the registers. */
enum { WIDE = 4 };

/* BODY(vectors, ...) with the largest number of vectors that divides the columns. */
#define BY_VECTORS(BODY, columns, ...)                                                             \
    do {                                                                                           \
        if ((columns) % (4 * LANES) == 0) BODY(4, __VA_ARGS__);                                    \
        else if ((columns) % (2 * LANES) == 0) BODY(2, __VA_ARGS__);                               \
        else BODY(1, __VA_ARGS__);                                                                 \
    } while (0)

/* sum = of rows, squares = of squared distances from sum / rows, over one run of rows that starts
 * at element `first`. */
LANES_INLINE void run_moments(int vectors, element_t element, size_t rows, int columns,
                              const void *x, size_t first, lanes_t *sum, lanes_t *squares) {
    for (int v = 0; v < vectors; v++) sum[v] = squares[v] = (lanes_t){0};
    for (size_t r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++) {
            lanes_t value;
            lanes_load(x, first + r * (size_t)columns + (size_t)(v * LANES), element, &value);
            sum[v] += value;
        }
    }
    float share = 1.0f / (float)rows;
    for (size_t r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++) {
            lanes_t distance;
            lanes_load(x, first + r * (size_t)columns + (size_t)(v * LANES), element, &distance);
            distance -= sum[v] * share;
            squares[v] += distance * distance;
        }
    }
}

LANES_INLINE void moments_body(int vectors, element_t element, const batch_norm_t *norm,
                               const void *x, double *mean, double *squares) {
    int columns = norm->columns;
    size_t rows = norm->runs_rows;
    for (int c = 0; c < columns; c++) mean[c] = squares[c] = 0.0;
    for (size_t start = 0; start < rows; start += RUN) {
        size_t count = rows - start < RUN ? rows - start : RUN;
        for (int c = 0; c < columns; c += vectors * LANES) {
            lanes_t sum[WIDE], square[WIDE];
            run_moments(vectors, element, count, columns, x, start * (size_t)columns + (size_t)c,
                        sum, square);
            for (int v = 0; v < vectors; v++)
                for (int i = 0; i < LANES; i++)
                    batch_norm_join((double)start, (double)count, (double)sum[v][i],
                                    (double)square[v][i], &mean[c + v * LANES + i],
                                    &squares[c + v * LANES + i]);
        }
    }
}

static void norm_moments(const batch_norm_t *norm, const void *x, double *mean, double *squares) {
    if (norm->element == ELEMENT_BFLOAT16)
        BY_VECTORS(moments_body, norm->columns, ELEMENT_BFLOAT16, norm, x, mean, squares);
    else BY_VECTORS(moments_body, norm->columns, ELEMENT_FLOAT32, norm, x, mean, squares);
}

/* (x - mean) factor + offset. */
LANES_INLINE void load_normalised(const batch_norm_t *norm, element_t element, const void *x,
                                  size_t i, int c, lanes_t *value) {
    lanes_load(x, i, element, value);
    *value = (*value - *lanes_at(norm->mean + c)) * *lanes_at(norm->factor + c) +
             *lanes_at(norm->offset + c);
}

LANES_INLINE void apply_body(element_t element, const batch_norm_t *norm, const void *x,
                             const void *residual, void *y, bool add, bool relu) {
    int columns = norm->columns;
    for (size_t r = 0; r < norm->runs_rows; r++) {
        for (int c = 0; c < columns; c += LANES) {
            size_t i = r * (size_t)columns + (size_t)c;
            lanes_t value, added;
            load_normalised(norm, element, x, i, c, &value);
            if (add) {
                lanes_load(residual, i, element, &added);
                value += added;
            }
            if (relu) lanes_rectify(&value);
            lanes_store(y, i, element, &value);
        }
    }
}

LANES_INLINE void apply_flags(element_t element, const batch_norm_t *norm, const void *x,
                              const void *residual, void *y) {
    if (residual && norm->relu) apply_body(element, norm, x, residual, y, true, true);
    else if (residual) apply_body(element, norm, x, residual, y, true, false);
    else if (norm->relu) apply_body(element, norm, x, NULL, y, false, true);
    else apply_body(element, norm, x, NULL, y, false, false);
}

static void norm_apply(const batch_norm_t *norm, const void *x, const void *residual, void *y) {
    if (norm->element == ELEMENT_BFLOAT16) apply_flags(ELEMENT_BFLOAT16, norm, x, residual, y);
    else apply_flags(ELEMENT_FLOAT32, norm, x, residual, y);
}

/* What the gradient passes through: constants of the compiled loops. */
typedef struct gate {
    bool more;     /* a second reader's gradient is added */
    bool output;   /* masked where the output y is not positive */
    bool computed; /* the same, with y computed again from x: a read of memory less */
    bool keep;     /* the result is written over d_y */
} gate_t;

/* The gradient at the vector that starts at i, in column c. */
LANES_INLINE void load_gradient(const batch_norm_t *norm, element_t element, const void *x,
                                const upstream_t *up, gate_t gate, size_t i, int c,
                                lanes_t *gradient) {
    lanes_load(up->d_y, i, element, gradient);
    lanes_t other;
    if (gate.more) {
        lanes_load(up->more, i, element, &other);
        *gradient += other;
    }
    if (gate.output) lanes_load(up->y, i, element, &other);
    if (gate.computed) load_normalised(norm, element, x, i, c, &other);
    if (gate.output || gate.computed)
        *gradient = (lanes_t)((lanes_mask_t)*gradient & (lanes_mask_t)(other > (lanes_t){0}));
    if (gate.keep) lanes_store(up->d_y, i, element, gradient);
}

LANES_INLINE void sums_body(int vectors, element_t element, const batch_norm_t *norm, const void *x,
                            const upstream_t *up, gate_t gate) {
    int columns = norm->columns;
    double *sum = norm->sums, *product = norm->sums + columns;
    for (int c = 0; c < columns; c++) sum[c] = product[c] = 0.0;
    for (size_t start = 0; start < norm->runs_rows; start += RUN) {
        size_t end = norm->runs_rows - start < RUN ? norm->runs_rows : start + RUN;
        for (int c = 0; c < columns; c += vectors * LANES) {
            lanes_t s[WIDE] = {{0}}, p[WIDE] = {{0}};
            for (size_t r = start; r < end; r++) {
                for (int v = 0; v < vectors; v++) {
                    int column = c + v * LANES;
                    size_t i = r * (size_t)columns + (size_t)column;
                    lanes_t g, value;
                    load_gradient(norm, element, x, up, gate, i, column, &g);
                    lanes_load(x, i, element, &value);
                    s[v] += g;
                    p[v] += g * (value - *lanes_at(norm->mean + column));
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

LANES_INLINE void sums_flags(int vectors, element_t element, const batch_norm_t *norm,
                             const void *x, const upstream_t *up) {
    bool relu = norm->relu, output = up->y != NULL, computed = relu && !output;
    if (up->more && output)
        sums_body(vectors, element, norm, x, up, (gate_t){true, true, false, true});
    else if (up->more && computed)
        sums_body(vectors, element, norm, x, up, (gate_t){true, false, true, true});
    else if (up->more) sums_body(vectors, element, norm, x, up, (gate_t){true, false, false, true});
    else if (output) sums_body(vectors, element, norm, x, up, (gate_t){false, true, false, true});
    else if (computed) sums_body(vectors, element, norm, x, up, (gate_t){.computed = true});
    else sums_body(vectors, element, norm, x, up, (gate_t){.keep = false}); /* d_y is g */
}

static void norm_sums(const batch_norm_t *norm, const void *x, const upstream_t *up) {
    if (norm->element == ELEMENT_BFLOAT16)
        BY_VECTORS(sums_flags, norm->columns, ELEMENT_BFLOAT16, norm, x, up);
    else BY_VECTORS(sums_flags, norm->columns, ELEMENT_FLOAT32, norm, x, up);
}

LANES_INLINE void spread_body(element_t element, const batch_norm_t *norm, const void *x,
                              const upstream_t *up, void *d_x, gate_t gate) {
    int columns = norm->columns;
    for (size_t r = 0; r < norm->runs_rows; r++) {
        for (int c = 0; c < columns; c += LANES) {
            size_t i = r * (size_t)columns + (size_t)c;
            lanes_t g, value;
            load_gradient(norm, element, x, up, gate, i, c, &g);
            lanes_load(x, i, element, &value);
            value = g * *lanes_at(norm->factor + c) +
                    ((value - *lanes_at(norm->mean + c)) * *lanes_at(norm->slope + c) +
                     *lanes_at(norm->constant + c));
            lanes_store(d_x, i, element, &value);
        }
    }
}

LANES_INLINE void spread_flags(element_t element, const batch_norm_t *norm, const void *x,
                               const upstream_t *up, void *d_x) {
    bool masked = norm->relu && !up->more && !up->y; /* else the first pass wrote g over d_y */
    if (masked) spread_body(element, norm, x, up, d_x, (gate_t){.computed = true});
    else spread_body(element, norm, x, up, d_x, (gate_t){.keep = false});
}

static void norm_spread(const batch_norm_t *norm, const void *x, const upstream_t *up, void *d_x) {
    if (norm->element == ELEMENT_BFLOAT16) spread_flags(ELEMENT_BFLOAT16, norm, x, up, d_x);
    else spread_flags(ELEMENT_FLOAT32, norm, x, up, d_x);
}

#endif
