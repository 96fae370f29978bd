/* SPDX-License-Identifier: Apache-2.0 */
/* One picture, from the bytes of a JPEG or PNG file to the floats that a network reads: decoding,
 * cropping, resizing, augmentation, normalisation. The folder data/picture sees one picture at a
 * time; the pipeline and `sgp data` call it. It trusts no byte of a picture and never logs, because
 * its caller decides whether a broken picture ends the run.
 *
 * Training is torchvision's RandomResizedCrop, RandomHorizontalFlip and ColorJitter, evaluation its
 * Resize and CenterCrop, with PIL's bilinear filter (antialias). Grey becomes three equal channels,
 * CMYK, palette and 16-bit pictures are converted as PIL's convert("RGB") does, alpha is dropped
 * and EXIF orientation ignored, as in torchvision's ImageFolder. Before normalisation the pixels are
 * those of Pillow up to version 12, to the last bit; version 13 swaps the two passes of some resizes
 * and differs by at most 1 of 255 there.
 *
 * The exception is speed's: of a JPEG whose crop is at least 2, 4 or 8 times as wide and as high as
 * the output, libjpeg decodes a half, a quarter or an eighth of the resolution. That filter is
 * another one than PIL's and sharper (1 of 255 on average, up to 3 on noise). */
#ifndef SGP_DATA_PICTURE_PICTURE_H
#define SGP_DATA_PICTURE_PICTURE_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pixels that a picture may have (178,956,970 is the limit at which PIL raises). */
#define PICTURE_MOST_PIXELS ((uint64_t)178956970)

typedef struct picture_options {
    int size;           /* pixels of a side of the output; required, >= 1 */
    int resize;         /* evaluation: the short side before the centre crop; >= size */
    float scale_least;  /* training: area of the crop over that of the picture, 0.08 .. */
    float scale_most;   /* .. 1 */
    float ratio_least;  /* width over height of the crop, 3/4 .. */
    float ratio_most;   /* .. 4/3 */
    bool flip;          /* horizontally, with probability 1/2 */
    float jitter;       /* brightness, contrast and saturation, each by 1 - jitter .. 1 + jitter */
    float mean[3];      /* of the channels red, green, blue, 0..255 */
    float deviation[3]; /* > 0 */
} picture_options_t;

/* The published ones for pictures of `size` pixels: resize is size * 256 / 224, crops from 0.08 of
 * the area, flip, no jitter, ImageNet's mean and deviation. */
picture_options_t picture_options(int size);

/* Memory of one thread, reused from picture to picture. Not thread-safe. */
typedef struct picture_worker picture_worker_t;

/* most_bytes: of the memory that a picture may take while it is decoded; 0: no limit but
 * PICTURE_MOST_PIXELS. Progressive JPEGs and interlaced PNGs take up to 8 bytes per pixel, others
 * some rows. SGP_ERR_NO_MEMORY. */
sgp_status_t picture_worker_create(size_t most_bytes, picture_worker_t **worker);
void picture_worker_destroy(picture_worker_t *worker); /* NULL is fine */

/* Why the last call failed, a clause without names: "the file ends in the middle of the picture".
 * Valid until the next call. */
const char *picture_reason(const picture_worker_t *worker);

typedef struct picture_info {
    bool jpeg; /* else PNG */
    int width, height;
    int channels; /* as stored: 1, 2, 3 or 4 */
} picture_info_t;

/* Reads the header alone. SGP_ERR_FORMAT: neither JPEG nor PNG, damaged, or too large.
 * bytes: (size), borrowed for the call, here and below. */
sgp_status_t picture_inspect(picture_worker_t *worker, const uint8_t *bytes, size_t size,
                             picture_info_t *info);

/* Reads the whole picture, to see whether it is damaged: the calls below do not look at rows beneath
 * those that they need. SGP_ERR_FORMAT, SGP_ERR_NO_MEMORY. */
sgp_status_t picture_check(picture_worker_t *worker, const uint8_t *bytes, size_t size);

/* Decodes, augments and normalises. random: the only source of randomness, so the output is a
 * function of (bytes, options, random). out: (options->size, options->size, 3), nhwc; undefined
 * after an error. SGP_ERR_FORMAT: picture_reason tells. SGP_ERR_NO_MEMORY. */
sgp_status_t picture_train(picture_worker_t *worker, const picture_options_t *options,
                           const uint8_t *bytes, size_t size, uint64_t random, float *out);
sgp_status_t picture_test(picture_worker_t *worker, const picture_options_t *options,
                          const uint8_t *bytes, size_t size, float *out);

#endif
