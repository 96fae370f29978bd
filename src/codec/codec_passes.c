/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of the mixing in the same pass over memory as an encoding, in pieces: a decoded piece stays in the
 * first-level cache. */
#include "codec/codec_internal.h"
#include "codec/modulo.h"
#include "codec/quantize.h"

#include "base/vector.h"

#include <string.h>

SGP_VECTOR static bool are_finite(size_t count, const uint16_t *s, unsigned exponent) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) bad |= (s[i] & exponent) == exponent;
    return bad == 0;
}

/* A block that has a number which is not finite has such a scale. */
static bool scales_are_finite(sgp_encoding_t encoding, size_t count, const unsigned char *s) {
    size_t stride = sgp_encoding_bytes(encoding, SGP_BLOCK);
    bool finite = true;
    for (size_t i = 0; i < count; i += SGP_BLOCK, s += stride) {
        float scale;
        memcpy(&scale, s, sizeof scale);
        finite &= !sgp_not_finite(scale);
    }
    return finite;
}

bool sgp_encoded_finite(sgp_encoding_t encoding, size_t count, const void *s) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    if (sgp_encoding_has_blocks(encoding)) return scales_are_finite(encoding, count, s);
    return are_finite(count, s, codec->exponent);
}

bool sgp_encoded_valid(sgp_encoding_t encoding, size_t count, const void *s) {
    int bits = sgp_encoding_modulo_bits(encoding);
    if (bits > 0) return sgp_modulo_valid(bits, count, s, sgp_encoding_bytes(encoding, count));
    return !sgp_encoding_has_blocks(encoding) || sgp_codec_of(encoding)->is_valid(count, s);
}

uint32_t sgp_block_largest(size_t count, const float *x) {
    return sgp_quantize_largest(count, x);
}

/* Whole blocks of the encodings that have them. */
#define PIECE (4 * SGP_BLOCK)

/* A piece of `n` numbers at `i`, until there is none left. */
#define PIECES(i, n, count)                                                                        \
    for (size_t i = 0, n; n = count - i < PIECE ? count - i : PIECE, n > 0; i += n)

/* Where element i, the first one of a block, lies. */
static void *to_place(sgp_encoding_t encoding, void *s, size_t i) {
    return (char *)s + sgp_encoding_bytes(encoding, i);
}

static const void *place_of(sgp_encoding_t encoding, const void *s, size_t i) {
    return (const char *)s + sgp_encoding_bytes(encoding, i);
}

/* z <- keep z + part (z - t) */
SGP_VECTOR static void keep_block(size_t n, float *restrict z, const float *restrict t, float keep,
                                  float part) {
    for (size_t i = 0; i < n; i++) z[i] = keep * z[i] + part * (z[i] - t[i]);
}

/* z <- z + part (x - t) */
SGP_VECTOR static void later_block(size_t n, float *z, const float *x, const float *restrict t,
                                   float part) {
    for (size_t i = 0; i < n; i++) z[i] += part * (x[i] - t[i]);
}

/* r <- r + x */
SGP_VECTOR static void add_block(size_t n, float *restrict r, const float *restrict x) {
    for (size_t i = 0; i < n; i++) r[i] += x[i];
}

/* r <- r - t */
SGP_VECTOR static void subtract_block(size_t n, float *restrict r, const float *restrict t) {
    for (size_t i = 0; i < n; i++) r[i] -= t[i];
}

/* r <- times (x - t); x <- t */
SGP_VECTOR static void mean_block(size_t n, float *restrict x, float *restrict r,
                                  const float *restrict t, float times) {
    for (size_t i = 0; i < n; i++) {
        r[i] = times * (x[i] - t[i]);
        x[i] = t[i];
    }
}

/* z <- z + a (t - z) */
SGP_VECTOR static void absorb_block(size_t n, float *restrict z, const float *restrict t, float a) {
    for (size_t i = 0; i < n; i++) z[i] += a * (t[i] - z[i]);
}

/* z <- z + a t */
SGP_VECTOR static void scaled_block(size_t n, float *restrict z, const float *restrict t, float a) {
    for (size_t i = 0; i < n; i++) z[i] += a * t[i];
}

/* t <- (a - t) / 2 */
SGP_VECTOR static void half_block(size_t n, const float *restrict a, float *restrict t) {
    for (size_t i = 0; i < n; i++) t[i] = 0.5f * (a[i] - t[i]);
}

void sgp_encode_keep(sgp_encoding_t encoding, size_t count, void *s, float *z, float keep,
                     float part) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float sent[PIECE];
    PIECES(i, n, count) {
        void *place = to_place(encoding, s, i);
        codec->encode(n, place, z + i);
        codec->decode(n, sent, place);
        keep_block(n, z + i, sent, keep, part);
    }
}

void sgp_keep_rounding(sgp_encoding_t encoding, size_t count, float *z, const float *x,
                       float part) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    uint16_t encoded[PIECE]; /* no encoding has more bytes */
    float sent[PIECE];
    PIECES(i, n, count) {
        codec->encode(n, encoded, x + i);
        codec->decode(n, sent, encoded);
        later_block(n, z + i, x + i, sent, part);
    }
}

void sgp_keep_rounding_within(sgp_encoding_t encoding, size_t count, float *z, const float *x,
                              float part, uint32_t largest) {
    float sent[SGP_BLOCK];
    sgp_codec_of(encoding)->round_within(count, sent, x, largest);
    later_block(count, z, x, sent, part);
}

void sgp_encode_feedback(sgp_encoding_t encoding, size_t count, void *s, const float *x, float *r) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float sent[PIECE];
    PIECES(i, n, count) {
        add_block(n, r + i, x + i);
        void *place = to_place(encoding, s, i);
        codec->encode(n, place, r + i);
        codec->decode(n, sent, place);
        subtract_block(n, r + i, sent);
    }
}

void sgp_encode_mean(sgp_encoding_t encoding, size_t count, void *s, float *x, float *r,
                     float times) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float sent[PIECE];
    PIECES(i, n, count) {
        void *place = to_place(encoding, s, i);
        codec->encode(n, place, x + i);
        codec->decode(n, sent, place);
        mean_block(n, x + i, r + i, sent, times);
    }
}

void sgp_decode_absorb(sgp_encoding_t encoding, size_t count, float *z, const void *s, float a) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float arrived[PIECE];
    PIECES(i, n, count) {
        codec->decode(n, arrived, place_of(encoding, s, i));
        absorb_block(n, z + i, arrived, a);
    }
}

void sgp_decode_add(sgp_encoding_t encoding, size_t count, float *z, const void *s, float a) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float arrived[PIECE];
    PIECES(i, n, count) {
        codec->decode(n, arrived, place_of(encoding, s, i));
        scaled_block(n, z + i, arrived, a);
    }
}

void sgp_encode_pair(sgp_encoding_t encoding, size_t count, float *a, const void *b, void *s) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float half[PIECE];
    PIECES(i, n, count) {
        void *place = to_place(encoding, s, i);
        codec->decode(n, half, place_of(encoding, b, i));
        half_block(n, a + i, half);
        codec->encode(n, place, half);
        codec->decode(n, half, place);
        subtract_block(n, a + i, half);
    }
}
