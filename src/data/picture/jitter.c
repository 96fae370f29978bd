/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/jitter.h"

jitter_t jitter_draw(float strength, sgp_random_t *random) {
    jitter_t jitter = {.order = {JITTER_BRIGHTNESS, JITTER_CONTRAST, JITTER_SATURATION}};
    double least = strength < 1 ? 1 - (double)strength : 0, most = 1 + (double)strength;
    sgp_random_shuffle(random, jitter.order, JITTER_KINDS);
    for (int i = 0; i < JITTER_KINDS; i++)
        jitter.factor[i] = (float)(least + (most - least) * sgp_random_double(random));
    return jitter;
}

/* from + factor (to - from), cut off after the point. */
static inline uint8_t blend(int from, int to, float factor) {
    float value = (float)from + factor * (float)(to - from);
    return (uint8_t)(value <= 0 ? 0 : value >= 255 ? 255 : value);
}

/* ITU-R 601, 16 bits of fraction. */
static inline int grey_of(const uint8_t *pixel) {
    return (pixel[0] * 19595 + pixel[1] * 38470 + pixel[2] * 7471 + 0x8000) >> 16;
}

static int mean_grey(size_t count, const uint8_t *pixels) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += (uint64_t)grey_of(pixels + 4 * i);
    return (int)((double)sum / (double)count + 0.5);
}

/* All pixels with the same grey. */
static void blend_with(int grey, float factor, size_t count, uint8_t *pixels) {
    uint8_t table[256];
    for (int v = 0; v < 256; v++) table[v] = blend(grey, v, factor);
    for (size_t i = 0; i < 4 * count; i++) pixels[i] = table[pixels[i]];
}

static void saturate(float factor, size_t count, uint8_t *pixels) {
    for (size_t i = 0; i < count; i++) {
        uint8_t *pixel = pixels + 4 * i;
        int grey = grey_of(pixel);
        for (int c = 0; c < 3; c++) pixel[c] = blend(grey, pixel[c], factor);
    }
}

void jitter_apply(const jitter_t *jitter, size_t count, uint8_t *pixels) {
    for (int i = 0; i < JITTER_KINDS; i++) {
        float factor = jitter->factor[jitter->order[i]];
        switch (jitter->order[i]) {
        case JITTER_BRIGHTNESS:
            blend_with(0, factor, count, pixels);
            break;
        case JITTER_CONTRAST:
            blend_with(mean_grey(count, pixels), factor, count, pixels);
            break;
        default:
            saturate(factor, count, pixels);
            break;
        }
    }
}
