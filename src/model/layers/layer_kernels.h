/* SPDX-License-Identifier: Apache-2.0 */
/* Our own loops over activations, compiled for vectors of 4, 8 and 16 floats (SSE2 and others,
 * AVX2, AVX-512). All widths give the same bits. The other files of this folder call them; a kernel
 * sees arrays only.
 *
 * The bodies are in kernels_*.h, which kernels_4.c, kernels_8.c and kernels_16.c include. Arrays
 * hold elements of the type given, are (batch, height, width, channels), and their arithmetic is in
 * float32. */
#ifndef SGP_MODEL_LAYERS_LAYER_KERNELS_H
#define SGP_MODEL_LAYERS_LAYER_KERNELS_H

#include "model/element.h"

#include <stdbool.h>
#include <stddef.h>

struct batch_norm;
struct pooling;

/* The gradient of a batch norm's output. */
typedef struct upstream {
    void *d_y;
    const void *more; /* the gradient of a second reader; NULL: none */
    const void *y;    /* the output, for the mask of the ReLU; NULL: no ReLU, or computed from x */
} upstream_t;

typedef struct kernels {
    int lanes;

    /* mean, squares: (columns) of the batch norm, the mean of each column and the sum of squared
     * distances from it. */
    void (*norm_moments)(const struct batch_norm *norm, const void *x, double *mean,
                         double *squares);
    /* y = (x - mean) factor + offset, plus residual unless it is NULL, and the ReLU. */
    void (*norm_apply)(const struct batch_norm *norm, const void *x, const void *residual, void *y);
    /* norm->sums = sums of g and of g (x - mean), g being the masked gradient. */
    void (*norm_sums)(const struct batch_norm *norm, const void *x, const upstream_t *up);
    /* d_x = factor g + slope (x - mean) + constant. */
    void (*norm_spread)(const struct batch_norm *norm, const void *x, const upstream_t *up,
                        void *d_x);

    /* See pooling.h. */
    void (*max_forward)(const struct pooling *pooling, const void *x, void *y);
    void (*max_backward)(const struct pooling *pooling, const void *x, const void *y,
                         const void *d_y, void *d_x);
    void (*average_forward)(const struct pooling *pooling, const void *x, void *y);
    void (*average_backward)(const struct pooling *pooling, const void *d_y, void *d_x);

    /* See relu.h. */
    void (*relu_forward)(element_t element, size_t count, const void *x, void *y);
    void (*relu_backward)(element_t element, size_t count, const void *y, const void *d_y,
                          void *d_x);
    void (*add)(element_t element, size_t count, const void *added, void *sum);

    /* to: bfloat16, the nearest. */
    void (*round)(size_t count, const float *from, void *to);
} kernels_t;

/* The widest that this CPU has. Static. */
const kernels_t *kernels_best(void);

/* Those of 4, 8 or 16 lanes; NULL: not on this CPU. For tests. */
const kernels_t *kernels_of(int lanes);

#endif
