/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers/pooling.h"

#include "model/layers/lanes.h"

#include <stddef.h>
#include <string.h>

/* The pixels of one window that lie inside the image. */
typedef struct window {
    size_t first;      /* floats from the start of the image */
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

/* Both kernels treat four channels at a time, and the remaining ones singly. Pointers are to the
 * window's first pixel. */
LANES_INLINE void max_lanes(const pooling_t *p, window_t window, const float *x, float *y) {
    lanes_t best = *lanes_at(x);
    for (int row = 0; row < window.height; row++) {
        for (int column = 0; column < window.width; column++) {
            lanes_t value = *lanes_at(x + ((size_t)row * p->width + column) * p->channels);
            lanes_mask_t keep = best >= value;
            best = (lanes_t)(((lanes_mask_t)best & keep) | ((lanes_mask_t)value & ~keep));
        }
    }
    if (p->relu) best = (lanes_t)((lanes_mask_t)best & ~(best <= (lanes_t){0}));
    *lanes_into(y) = best;
}

LANES_INLINE void max_one(const pooling_t *p, window_t window, const float *x, float *y) {
    float best = *x;
    for (int row = 0; row < window.height; row++) {
        for (int column = 0; column < window.width; column++) {
            float value = x[((size_t)row * p->width + column) * p->channels];
            best = best >= value ? best : value;
        }
    }
    *y = p->relu && best <= 0.0f ? 0.0f : best;
}

LANES_INLINE void max_body(const pooling_t *p, const float *x, float *y, tiling_t tiling) {
    for (int sample = 0; sample < p->batch; sample++) {
        const float *image = x + (size_t)sample * p->height * p->width * p->channels;
        for (int row = 0; row < p->out_height; row++) {
            for (int column = 0; column < p->out_width; column++) {
                window_t window = window_at(p, row, column, tiling);
                const float *first = image + window.first;
                int c = 0;
                for (; c + LANES <= p->channels; c += LANES) max_lanes(p, window, first + c, y + c);
                for (; c < p->channels; c++) max_one(p, window, first + c, y + c);
                y += p->channels;
            }
        }
    }
}

void pooling_max_forward(const pooling_t *p, const float *x, float *y) {
    if (!is_tiled(p)) max_body(p, x, y, (tiling_t){false, p->kernel});
    else if (p->kernel == 2) max_body(p, x, y, (tiling_t){true, 2});
    else max_body(p, x, y, (tiling_t){true, p->kernel});
}

/* Where windows overlap, the gradient is added. */
LANES_INLINE void route_lanes(const pooling_t *p, window_t window, const float *x, const float *y,
                              const float *d_y, float *d_x, bool add) {
    lanes_t best = *lanes_at(y);
    lanes_mask_t left = (lanes_mask_t)*lanes_at(d_y);
    if (p->relu) left &= best > (lanes_t){0};
    for (int row = 0; row < window.height; row++) {
        for (int column = 0; column < window.width; column++) {
            size_t i = ((size_t)row * p->width + column) * p->channels;
            lanes_mask_t won = *lanes_at(x + i) == best;
            lanes_t gradient = (lanes_t)(left & won);
            left &= ~won;
            if (add) gradient += *lanes_at(d_x + i);
            *lanes_into(d_x + i) = gradient;
        }
    }
}

LANES_INLINE void route_one(const pooling_t *p, window_t window, const float *x, const float *y,
                            const float *d_y, float *d_x, bool add) {
    float left = p->relu && !(*y > 0.0f) ? 0.0f : *d_y;
    for (int row = 0; row < window.height; row++) {
        for (int column = 0; column < window.width; column++) {
            size_t i = ((size_t)row * p->width + column) * p->channels;
            float gradient = x[i] == *y ? left : 0.0f;
            if (x[i] == *y) left = 0.0f;
            d_x[i] = add ? d_x[i] + gradient : gradient;
        }
    }
}

LANES_INLINE void route_body(const pooling_t *p, const float *x, const float *y, const float *d_y,
                             float *d_x, tiling_t tiling) {
    bool add = !tiling.tiled;
    for (int sample = 0; sample < p->batch; sample++) {
        size_t image = (size_t)sample * p->height * p->width * p->channels;
        for (int row = 0; row < p->out_height; row++) {
            for (int column = 0; column < p->out_width; column++) {
                window_t window = window_at(p, row, column, tiling);
                const float *from = x + image + window.first;
                float *into = d_x + image + window.first;
                int c = 0;
                for (; c + LANES <= p->channels; c += LANES)
                    route_lanes(p, window, from + c, y + c, d_y + c, into + c, add);
                for (; c < p->channels; c++)
                    route_one(p, window, from + c, y + c, d_y + c, into + c, add);
                y += p->channels;
                d_y += p->channels;
            }
        }
    }
}

void pooling_max_backward(const pooling_t *p, const float *x, const float *y, const float *d_y,
                          float *d_x) {
    if (!is_tiled(p)) {
        memset(d_x, 0, sizeof(float) * (size_t)p->batch * p->height * p->width * p->channels);
        route_body(p, x, y, d_y, d_x, (tiling_t){false, p->kernel});
    } else if (p->kernel == 2) {
        route_body(p, x, y, d_y, d_x, (tiling_t){true, 2});
    } else {
        route_body(p, x, y, d_y, d_x, (tiling_t){true, p->kernel});
    }
}

void pooling_average_forward(int batch, int pixels, int channels, const float *x, float *y) {
    float share = 1.0f / (float)pixels;
    for (int sample = 0; sample < batch; sample++, y += channels) {
        memset(y, 0, (size_t)channels * sizeof(float));
        for (int pixel = 0; pixel < pixels; pixel++, x += channels)
            for (int c = 0; c < channels; c++) y[c] += x[c];
        for (int c = 0; c < channels; c++) y[c] *= share;
    }
}

void pooling_average_backward(int batch, int pixels, int channels, const float *d_y, float *d_x) {
    float share = 1.0f / (float)pixels;
    for (int sample = 0; sample < batch; sample++, d_y += channels)
        for (int pixel = 0; pixel < pixels; pixel++, d_x += channels)
            for (int c = 0; c < channels; c++) d_x[c] = d_y[c] * share;
}
