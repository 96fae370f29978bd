/* SPDX-License-Identifier: Apache-2.0 */
/* A whole picture brought to a short side of so many pixels, as torchvision's Resize does with PIL's bilinear filter
 * (antialias): what is stored is not yet what the network sees. `sgp data` calls it; logs nothing. */
#ifndef SGP_DATA_PICTURE_PICTURE_RESCALE_H
#define SGP_DATA_PICTURE_PICTURE_RESCALE_H

#include "data/picture/picture_encode.h"

/* Memory of one thread, reused from picture to picture. Not thread-safe. */
typedef struct picture_rescale picture_rescale_t;

sgp_status_t picture_rescale_create(picture_rescale_t **rescale); /* SGP_ERR_NO_MEMORY */
void picture_rescale_destroy(picture_rescale_t *rescale);         /* NULL is fine */

/* Why the last call failed, a clause without names. Valid until the next call. */
const char *picture_rescale_reason(const picture_rescale_t *rescale);

/* side: pixels of the short side of the result, >= 1. out: pixels of the rescaler's, until the next call.
 * SGP_ERR_FORMAT, SGP_ERR_NO_MEMORY. */
sgp_status_t picture_rescale_pixels(picture_rescale_t *rescale, const picture_pixels_t *in,
                                    int side, picture_pixels_t *out);

/* bytes: (size) a JPEG or PNG file, which becomes three channels. One whose short side is `side` or less is left alone:
 * then out->pixels is NULL, and nothing but its header is read. */
sgp_status_t picture_rescale_file(picture_rescale_t *rescale, const uint8_t *bytes, size_t size,
                                  int side, picture_pixels_t *out);

#endif
