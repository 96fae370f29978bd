/* SPDX-License-Identifier: Apache-2.0 */
/* One 16-bit encoding, for the files of this folder: its file fills one sgp_codec_t, and codec.c lists it. */
#ifndef SGP_CODEC_CODEC_INTERNAL_H
#define SGP_CODEC_CODEC_INTERNAL_H

#include "codec/codec.h"

/* Arrays as in codec.h. */
typedef struct sgp_codec {
    uint16_t exponent; /* bits of an encoded number; all set: an infinity or a NaN */
    void (*encode)(size_t n, uint16_t *s, const float *x);
    void (*decode)(size_t n, float *x, const uint16_t *s);
} sgp_codec_t;

extern const sgp_codec_t sgp_codec_bfloat16, sgp_codec_float16;

/* Of a lossy encoding. */
const sgp_codec_t *sgp_codec_of(sgp_encoding_t encoding);

#endif
