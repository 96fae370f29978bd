/* SPDX-License-Identifier: Apache-2.0 */
/* torchvision's ColorJitter without hue, in PIL's arithmetic: brightness, contrast and saturation
 * in random order, each a blend with black, with the mean grey, and with the picture in grey. */
#ifndef SGP_DATA_PICTURE_JITTER_H
#define SGP_DATA_PICTURE_JITTER_H

#include "base/random.h"

enum { JITTER_BRIGHTNESS, JITTER_CONTRAST, JITTER_SATURATION, JITTER_KINDS };

typedef struct jitter {
    uint32_t order[JITTER_KINDS]; /* which one comes first, second, third */
    float factor[JITTER_KINDS];   /* 1: no change */
} jitter_t;

/* Factors from 1 - strength (not below 0) to 1 + strength. */
jitter_t jitter_draw(float strength, sgp_random_t *random);

/* pixels: (count, 4) red, green, blue, ignored; count >= 1. In place. */
void jitter_apply(const jitter_t *jitter, size_t count, uint8_t *pixels);

#endif
