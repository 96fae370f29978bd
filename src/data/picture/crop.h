/* SPDX-License-Identifier: Apache-2.0 */
/* Which part of a picture the network sees: torchvision's RandomResizedCrop for training, Resize
 * and CenterCrop for evaluation. Pure functions. */
#ifndef SGP_DATA_PICTURE_CROP_H
#define SGP_DATA_PICTURE_CROP_H

#include "base/random.h"
#include "data/picture/picture.h"

/* The rectangle is resized to (out_height, out_width), of which the window of (size, size) pixels at
 * (out_y, out_x) is the output. */
typedef struct crop {
    int x, y, width, height; /* pixels of the picture */
    int out_width, out_height, out_x, out_y;
} crop_t;

/* Ten draws of an area and a ratio, each followed by a place if such a rectangle fits; if none does,
 * the largest centred one of an allowed ratio. */
crop_t crop_random(const picture_options_t *options, int width, int height, sgp_random_t *random);

crop_t crop_centre(const picture_options_t *options, int width, int height);

#endif
