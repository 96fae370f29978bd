/* SPDX-License-Identifier: Apache-2.0 */
/* PNG by libpng. Palette and fewer than 8 bits are expanded, of 16 bits the upper 8 are kept, alpha
 * and transparent colours are dropped: as PIL's convert("RGB") does, which also decides about grey
 * of 16 bits without alpha: values above 255 become 255. Rows below those wanted are not read. */
#ifndef SGP_DATA_PICTURE_DECODE_PNG_H
#define SGP_DATA_PICTURE_DECODE_PNG_H

#include "data/picture/decode.h"
#include "data/picture/picture.h"

typedef struct decode_png decode_png_t;

/* As those of decode_jpeg.h. */
sgp_status_t decode_png_create(decode_reason_t *reason, decode_png_t **png);
void decode_png_destroy(decode_png_t *png); /* NULL is fine */
bool decode_png_is(const uint8_t *bytes, size_t size);
sgp_status_t decode_png_begin(decode_png_t *png, const uint8_t *bytes, size_t size,
                              picture_info_t *info);
sgp_status_t decode_png_rows(decode_png_t *png, const decode_request_t *request,
                             const decode_sink_t *sink);
void decode_png_end(decode_png_t *png);

#endif
