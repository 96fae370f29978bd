/* SPDX-License-Identifier: Apache-2.0 */
/* Pixels as the bytes of a JPEG or PNG file. `sgp data` calls it; never in the path of training. Logs nothing. */
#ifndef SGP_DATA_PICTURE_PICTURE_ENCODE_H
#define SGP_DATA_PICTURE_PICTURE_ENCODE_H

#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

/* pixels: (height, width, channels), each side 1..65500, channels 1 (grey) or 3 (red, green, blue). *bytes: (*size) the
 * caller's, to be released with free; both are set only on success. SGP_ERR_INVALID: a side, the channels or the quality
 * is out of range. SGP_ERR_NO_MEMORY. */
typedef struct picture_pixels {
    const uint8_t *pixels; /* borrowed */
    int width, height, channels;
} picture_pixels_t;

/* quality: 1..100 of libjpeg. Chroma is halved in both directions, as by PIL and most cameras. */
sgp_status_t picture_encode_jpeg(const picture_pixels_t *picture, int quality, uint8_t **bytes,
                                 size_t *size);
sgp_status_t picture_encode_png(const picture_pixels_t *picture, uint8_t **bytes, size_t *size);

#endif
