/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of the mixing in the same pass over memory as an encoding, in blocks: a decoded block stays in the
 * first-level cache. */
#include "codec/codec_internal.h"

#include "base/vector.h"

SGP_VECTOR bool sgp_encoded_finite(sgp_encoding_t encoding, size_t count, const uint16_t *s) {
    const unsigned exponent = sgp_codec_of(encoding)->exponent;
    int bad = 0;
    for (size_t i = 0; i < count; i++) bad |= (s[i] & exponent) == exponent;
    return bad == 0;
}

#define BLOCK 1024

/* A block of `n` numbers at `i`, until there is none left. */
#define BLOCKS(i, n, count)                                                                        \
    for (size_t i = 0, n; n = count - i < BLOCK ? count - i : BLOCK, n > 0; i += n)

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

void sgp_encode_keep(sgp_encoding_t encoding, size_t count, uint16_t *s, float *z, float keep,
                     float part) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float sent[BLOCK];
    BLOCKS(i, n, count) {
        codec->encode(n, s + i, z + i);
        codec->decode(n, sent, s + i);
        keep_block(n, z + i, sent, keep, part);
    }
}

void sgp_keep_rounding(sgp_encoding_t encoding, size_t count, float *z, const float *x,
                       float part) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    uint16_t encoded[BLOCK];
    float sent[BLOCK];
    BLOCKS(i, n, count) {
        codec->encode(n, encoded, x + i);
        codec->decode(n, sent, encoded);
        later_block(n, z + i, x + i, sent, part);
    }
}

void sgp_encode_feedback(sgp_encoding_t encoding, size_t count, uint16_t *s, const float *x,
                         float *r) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float sent[BLOCK];
    BLOCKS(i, n, count) {
        add_block(n, r + i, x + i);
        codec->encode(n, s + i, r + i);
        codec->decode(n, sent, s + i);
        subtract_block(n, r + i, sent);
    }
}

void sgp_encode_mean(sgp_encoding_t encoding, size_t count, uint16_t *s, float *x, float *r,
                     float times) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float sent[BLOCK];
    BLOCKS(i, n, count) {
        codec->encode(n, s + i, x + i);
        codec->decode(n, sent, s + i);
        mean_block(n, x + i, r + i, sent, times);
    }
}

void sgp_decode_absorb(sgp_encoding_t encoding, size_t count, float *z, const uint16_t *s,
                       float a) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float arrived[BLOCK];
    BLOCKS(i, n, count) {
        codec->decode(n, arrived, s + i);
        absorb_block(n, z + i, arrived, a);
    }
}

void sgp_decode_add(sgp_encoding_t encoding, size_t count, float *z, const uint16_t *s, float a) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float arrived[BLOCK];
    BLOCKS(i, n, count) {
        codec->decode(n, arrived, s + i);
        scaled_block(n, z + i, arrived, a);
    }
}

void sgp_encode_pair(sgp_encoding_t encoding, size_t count, float *a, const uint16_t *b,
                     uint16_t *s) {
    const sgp_codec_t *codec = sgp_codec_of(encoding);
    float half[BLOCK];
    BLOCKS(i, n, count) {
        codec->decode(n, half, b + i);
        half_block(n, a + i, half);
        codec->encode(n, s + i, half);
        codec->decode(n, half, s + i);
        subtract_block(n, a + i, half);
    }
}
