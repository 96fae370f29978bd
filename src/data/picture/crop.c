/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/crop.h"

#include <math.h>

enum { ATTEMPTS = 10 };

static crop_t crop_of(const picture_options_t *options, int x, int y, int width, int height) {
    return (crop_t){.x = x,
                    .y = y,
                    .width = width,
                    .height = height,
                    .out_width = options->size,
                    .out_height = options->size};
}

/* The ratio is uniform on a logarithmic scale, in float32 as torch's: the last bit of a double may
 * differ between versions of libm, and is rounded away. */
static float draw_ratio(const picture_options_t *options, sgp_random_t *random) {
    float least = (float)log((double)options->ratio_least);
    float most = (float)log((double)options->ratio_most);
    float drawn = (float)(least + (most - least) * sgp_random_double(random));
    return (float)exp((double)drawn);
}

static crop_t crop_fallback(const picture_options_t *options, int width, int height) {
    double ratio = (double)width / height;
    int wide = width, high = height;
    if (ratio < (double)options->ratio_least)
        high = (int)nearbyint(width / (double)options->ratio_least);
    else if (ratio > (double)options->ratio_most)
        wide = (int)nearbyint(height * (double)options->ratio_most);
    if (high < 1) high = 1;
    if (wide < 1) wide = 1;
    return crop_of(options, (width - wide) / 2, (height - high) / 2, wide, high);
}

crop_t crop_random(const picture_options_t *options, int width, int height, sgp_random_t *random) {
    double area = (double)width * height;
    for (int i = 0; i < ATTEMPTS; i++) {
        double least = (double)options->scale_least, most = (double)options->scale_most;
        double target = area * (double)(float)(least + (most - least) * sgp_random_double(random));
        double ratio = (double)draw_ratio(options, random);
        int wide = (int)nearbyint(sqrt(target * ratio));
        int high = (int)nearbyint(sqrt(target / ratio));
        if (wide < 1 || wide > width || high < 1 || high > height) continue;
        int y = (int)sgp_random_below(random, (uint64_t)(height - high + 1));
        int x = (int)sgp_random_below(random, (uint64_t)(width - wide + 1));
        return crop_of(options, x, y, wide, high);
    }
    return crop_fallback(options, width, height);
}

crop_t crop_centre(const picture_options_t *options, int width, int height) {
    int64_t shorter = width < height ? width : height, longer = width < height ? height : width;
    int64_t stretched = options->resize * longer / shorter;
    int most = stretched > INT32_MAX ? INT32_MAX : (int)stretched;
    crop_t crop = {.width = width, .height = height};
    crop.out_width = width <= height ? options->resize : most;
    crop.out_height = width <= height ? most : options->resize;
    /* Halves are rounded to even, as Python does. */
    crop.out_x = (int)nearbyint((crop.out_width - options->size) / 2.0);
    crop.out_y = (int)nearbyint((crop.out_height - options->size) / 2.0);
    return crop;
}
