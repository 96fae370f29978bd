/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG by libjpeg-turbo. Only the blocks that the wanted rows and columns need are transformed;
 * the pixels are those of a whole decode. Colours as PIL's: grey becomes three equal channels, of
 * CMYK and YCCK Adobe's inverted form is assumed.
 *
 * Damaged data is an error, where libjpeg warns and fills in grey. Extra bytes between two segments
 * are none, since cameras write them. */
#ifndef SGP_DATA_PICTURE_DECODE_JPEG_H
#define SGP_DATA_PICTURE_DECODE_JPEG_H

#include "data/picture/decode.h"
#include "data/picture/picture.h"

typedef struct decode_jpeg decode_jpeg_t;

/* reason: borrowed; receives why a call failed. SGP_ERR_NO_MEMORY. */
sgp_status_t decode_jpeg_create(decode_reason_t *reason, decode_jpeg_t **jpeg);
void decode_jpeg_destroy(decode_jpeg_t *jpeg); /* NULL is fine */

bool decode_jpeg_is(const uint8_t *bytes, size_t size);

/* Reads the header. bytes: (size), borrowed until decode_jpeg_end, which follows in any case.
 * SGP_ERR_FORMAT, SGP_ERR_NO_MEMORY. */
sgp_status_t decode_jpeg_begin(decode_jpeg_t *jpeg, const uint8_t *bytes, size_t size,
                               picture_info_t *info);
/* Once after decode_jpeg_begin. SGP_ERR_FORMAT, SGP_ERR_NO_MEMORY. */
sgp_status_t decode_jpeg_rows(decode_jpeg_t *jpeg, const decode_request_t *request,
                              const decode_sink_t *sink);
void decode_jpeg_end(decode_jpeg_t *jpeg);

#endif
