/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling over pixels. See layer_kernels.h and pooling.h. */
#ifndef SGP_MODEL_LAYERS_KERNELS_POOLING_H
#define SGP_MODEL_LAYERS_KERNELS_POOLING_H

#include "model/layers/lanes.h"
#include "model/layers/pooling.h"

#include <stddef.h>
#include <string.h>

/* The pixels of one window that lie inside the image. */
typedef struct window {
    size_t first;      /* elements from the start of the image */
    int height, width; /* pixels */
} window_t;

/* The arrangement of the windows, which the compiler turns into constants. */
typedef struct tiling {
    bool tiled; /* each pixel is in exactly one window, and no window reaches over the edge */
    int kernel;
} tiling_t;

static bool is_tiled(const pooling_t *p) {
    return p->kernel == p->stride && p->padding == 0 && p->height % p->kernel == 0 &&
           p->width % p->kernel == 0;
}

static inline int larger(int a, int b) {
    return a > b ? a : b;
}

static inline int smaller(int a, int b) {
    return a < b ? a : b;
}

LANES_INLINE window_t window_at(const pooling_t *p, int out_row, int out_column, tiling_t tiling) {
    int row = out_row * p->stride - p->padding, column = out_column * p->stride - p->padding;
    int top = tiling.tiled ? row : larger(row, 0), left = tiling.tiled ? column : larger(column, 0);
    window_t window = {((size_t)top * p->width + left) * p->channels, tiling.kernel, tiling.kernel};
    if (!tiling.tiled) {
        window.height = smaller(row + tiling.kernel, p->height) - top;
        window.width = smaller(column + tiling.kernel, p->width) - left;
    }
    return window;
}

/* Both kernels treat LANES channels at a time, and the remaining ones singly. x and y are indices:
 * of the window's first pixel, and of the output. */
LANES_INLINE void max_lanes(const pooling_t *p, element_t element, window_t window,
                            const void *input, size_t x, void *output, size_t y) {
    lanes_t best, value;
    lanes_load(input, x, element, &best);
    for (int row = 0; row < window.height; row++) {
        for (int column = 0; column < window.width; column++) {
            lanes_load(input, x + ((size_t)row * p->width + column) * p->channels, element, &value);
            lanes_mask_t keep = (lanes_mask_t)(best >= value);
            best = (lanes_t)(((lanes_mask_t)best & keep) | ((lanes_mask_t)value & ~keep));
        }
    }
    if (p->relu) lanes_rectify(&best);
    lanes_store(output, y, element, &best);
}

LANES_INLINE void max_one(const pooling_t *p, element_t element, window_t window, const void *input,
                          size_t x, void *output, size_t y) {
    float best = lane_load(input, x, element);
    for (int row = 0; row < window.height; row++) {
        for (int column = 0; column < window.width; column++) {
            float value =
                lane_load(input, x + ((size_t)row * p->width + column) * p->channels, element);
            best = best >= value ? best : value;
        }
    }
    lane_store(output, y, element, p->relu && best <= 0.0f ? 0.0f : best);
}

LANES_INLINE void max_body(element_t element, const pooling_t *p, const void *input, void *output,
                           tiling_t tiling) {
    size_t y = 0;
    for (int sample = 0; sample < p->batch; sample++) {
        size_t image = (size_t)sample * p->height * p->width * p->channels;
        for (int row = 0; row < p->out_height; row++) {
            for (int column = 0; column < p->out_width; column++, y += (size_t)p->channels) {
                window_t window = window_at(p, row, column, tiling);
                size_t x = image + window.first;
                int c = 0;
                for (; c + LANES <= p->channels; c += LANES)
                    max_lanes(p, element, window, input, x + c, output, y + c);
                for (; c < p->channels; c++)
                    max_one(p, element, window, input, x + c, output, y + c);
            }
        }
    }
}

LANES_INLINE void max_tilings(element_t element, const pooling_t *p, const void *x, void *y) {
    if (!is_tiled(p)) max_body(element, p, x, y, (tiling_t){false, p->kernel});
    else if (p->kernel == 2) max_body(element, p, x, y, (tiling_t){true, 2});
    else max_body(element, p, x, y, (tiling_t){true, p->kernel});
}

static void max_forward(const pooling_t *p, const void *x, void *y) {
    if (p->element == ELEMENT_BFLOAT16) max_tilings(ELEMENT_BFLOAT16, p, x, y);
    else max_tilings(ELEMENT_FLOAT32, p, x, y);
}

/* The arrays of the backward pass. */
typedef struct route {
    const void *x, *y, *d_y;
    void *d_x;
    bool add; /* where windows overlap */
} route_t;

LANES_INLINE void route_lanes(const pooling_t *p, element_t element, window_t window,
                              const route_t *r, size_t x, size_t y) {
    lanes_t best, d_y, value, sum;
    lanes_load(r->y, y, element, &best);
    lanes_load(r->d_y, y, element, &d_y);
    lanes_mask_t left = (lanes_mask_t)d_y;
    if (p->relu) left &= (lanes_mask_t)(best > (lanes_t){0});
    for (int row = 0; row < window.height; row++) {
        for (int column = 0; column < window.width; column++) {
            size_t i = x + ((size_t)row * p->width + column) * p->channels;
            lanes_load(r->x, i, element, &value);
            lanes_mask_t won = (lanes_mask_t)(value == best);
            lanes_t gradient = (lanes_t)(left & won);
            left &= ~won;
            if (r->add) {
                lanes_load(r->d_x, i, element, &sum);
                gradient += sum;
            }
            lanes_store(r->d_x, i, element, &gradient);
        }
    }
}

LANES_INLINE void route_one(const pooling_t *p, element_t element, window_t window,
                            const route_t *r, size_t x, size_t y) {
    float best = lane_load(r->y, y, element);
    float left = p->relu && !(best > 0.0f) ? 0.0f : lane_load(r->d_y, y, element);
    for (int row = 0; row < window.height; row++) {
        for (int column = 0; column < window.width; column++) {
            size_t i = x + ((size_t)row * p->width + column) * p->channels;
            bool won = lane_load(r->x, i, element) == best;
            float gradient = won ? left : 0.0f;
            if (won) left = 0.0f;
            lane_store(r->d_x, i, element,
                       r->add ? lane_load(r->d_x, i, element) + gradient : gradient);
        }
    }
}

LANES_INLINE void route_body(element_t element, const pooling_t *p, const route_t *r,
                             tiling_t tiling) {
    size_t y = 0;
    for (int sample = 0; sample < p->batch; sample++) {
        size_t image = (size_t)sample * p->height * p->width * p->channels;
        for (int row = 0; row < p->out_height; row++) {
            for (int column = 0; column < p->out_width; column++, y += (size_t)p->channels) {
                window_t window = window_at(p, row, column, tiling);
                size_t x = image + window.first;
                int c = 0;
                for (; c + LANES <= p->channels; c += LANES)
                    route_lanes(p, element, window, r, x + c, y + c);
                for (; c < p->channels; c++) route_one(p, element, window, r, x + c, y + c);
            }
        }
    }
}

LANES_INLINE void route_tilings(element_t element, const pooling_t *p, const void *x, const void *y,
                                const void *d_y, void *d_x) {
    if (!is_tiled(p))
        route_body(element, p, &(route_t){x, y, d_y, d_x, true}, (tiling_t){false, p->kernel});
    else if (p->kernel == 2)
        route_body(element, p, &(route_t){x, y, d_y, d_x, false}, (tiling_t){true, 2});
    else route_body(element, p, &(route_t){x, y, d_y, d_x, false}, (tiling_t){true, p->kernel});
}

static void max_backward(const pooling_t *p, const void *x, const void *y, const void *d_y,
                         void *d_x) {
    if (!is_tiled(p))
        memset(d_x, 0, element_bytes(p->element) * p->batch * p->height * p->width * p->channels);
    if (p->element == ELEMENT_BFLOAT16) route_tilings(ELEMENT_BFLOAT16, p, x, y, d_y, d_x);
    else route_tilings(ELEMENT_FLOAT32, p, x, y, d_y, d_x);
}

/* The sum over the pixels of a sample, in their order. x, y: indices. */
LANES_INLINE void average_body(element_t element, const pooling_t *p, const void *input,
                               void *output) {
    int pixels = p->height * p->width, channels = p->channels;
    float share = 1.0f / (float)pixels;
    for (int sample = 0; sample < p->batch; sample++) {
        size_t y = (size_t)sample * channels, x = y * pixels;
        int c = 0;
        for (; c + LANES <= channels; c += LANES) {
            lanes_t sum = {0}, value;
            for (int pixel = 0; pixel < pixels; pixel++) {
                lanes_load(input, x + (size_t)pixel * channels + c, element, &value);
                sum += value;
            }
            sum *= share;
            lanes_store(output, y + c, element, &sum);
        }
        for (; c < channels; c++) {
            float sum = 0.0f;
            for (int pixel = 0; pixel < pixels; pixel++)
                sum += lane_load(input, x + (size_t)pixel * channels + c, element);
            lane_store(output, y + c, element, sum * share);
        }
    }
}

static void average_forward(const pooling_t *p, const void *x, void *y) {
    if (p->element == ELEMENT_BFLOAT16) average_body(ELEMENT_BFLOAT16, p, x, y);
    else average_body(ELEMENT_FLOAT32, p, x, y);
}

LANES_INLINE void spread_average_body(element_t element, const pooling_t *p, const void *d_y,
                                      void *d_x) {
    int pixels = p->height * p->width, channels = p->channels;
    float share = 1.0f / (float)pixels;
    size_t x = 0;
    for (int sample = 0; sample < p->batch; sample++) {
        size_t y = (size_t)sample * channels;
        for (int pixel = 0; pixel < pixels; pixel++, x += (size_t)channels) {
            int c = 0;
            for (; c + LANES <= channels; c += LANES) {
                lanes_t gradient;
                lanes_load(d_y, y + c, element, &gradient);
                gradient *= share;
                lanes_store(d_x, x + c, element, &gradient);
            }
            for (; c < channels; c++)
                lane_store(d_x, x + c, element, lane_load(d_y, y + c, element) * share);
        }
    }
}

static void average_backward(const pooling_t *p, const void *d_y, void *d_x) {
    if (p->element == ELEMENT_BFLOAT16) spread_average_body(ELEMENT_BFLOAT16, p, d_y, d_x);
    else spread_average_body(ELEMENT_FLOAT32, p, d_y, d_x);
}

#endif
