/* SPDX-License-Identifier: Apache-2.0 */
/* One lossy encoding, for the files of this folder: its file fills one sgp_codec_t, and codec.c lists it. */
#ifndef SGP_CODEC_CODEC_INTERNAL_H
#define SGP_CODEC_CODEC_INTERNAL_H

#include "codec/codec.h"

/* Arrays as in codec.h. */
typedef struct sgp_codec {
    uint16_t exponent; /* bits of an encoded number; all set: an infinity or a NaN. 0: in blocks */
    void (*encode)(size_t n, void *s, const float *x);
    void (*decode)(size_t n, float *x, const void *s);

    /* In blocks, else NULL. t <- dec(enc(x)), in a part of a block whose largest absolute value has these bits. */
    void (*round_within)(size_t n, float *t, const float *x, uint32_t largest);
    /* Whether a sender can have written s. */
    bool (*is_valid)(size_t n, const void *s);
} sgp_codec_t;

extern const sgp_codec_t sgp_codec_bfloat16, sgp_codec_float16, sgp_codec_int8, sgp_codec_int4;

/* Of a lossy encoding. */
const sgp_codec_t *sgp_codec_of(sgp_encoding_t encoding);

#endif
