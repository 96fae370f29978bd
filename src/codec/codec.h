/* SPDX-License-Identifier: Apache-2.0 */
/* src/codec: how a vector travels. Pure functions over arrays, for the mixing and the simulated nodes; they know no
 * message, no node and no thread. One file per encoding; codec.c has the table of them.
 *
 * bfloat16 and IEEE 754 binary16 have 16 bits. Most calls here combine an encoding with the arithmetic of the mixing in
 * one pass over memory.
 *
 * Rounding is to nearest, ties to even. A finite number stays finite: beyond the largest number of an encoding it becomes
 * that number. Infinities stay infinities, and a NaN stays a NaN (quiet, with its sign and the payload that fits). The
 * bits are the same on every CPU, whatever its instructions and however its float unit treats denormals.
 *
 * enc and dec stand for the two directions; s: an array of 16-bit numbers, 2-byte aligned, in the byte order of the
 * machine (little-endian on all machines that we run on). Arrays have `count` elements and do not overlap. encoding: a lossy
 * one; anything else is our own mistake. */
#ifndef SGP_CODEC_CODEC_H
#define SGP_CODEC_CODEC_H

#include <sgp/encoding.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "float32, bfloat16, float16": for help and error messages. Static. */
const char *sgp_encoding_names(void);

/* Whether encoding a number rounds it. */
static inline bool sgp_encoding_is_lossy(sgp_encoding_t encoding) {
    return encoding == SGP_ENCODING_BFLOAT16 || encoding == SGP_ENCODING_FLOAT16;
}

/* s <- enc(x) */
void sgp_encode(sgp_encoding_t encoding, size_t count, uint16_t *s, const float *x);

/* x <- dec(s) */
void sgp_decode(sgp_encoding_t encoding, size_t count, float *x, const uint16_t *s);

/* s <- enc(z); z <- keep z + part (z - dec(s)): the sender keeps the rounding error. */
void sgp_encode_keep(sgp_encoding_t encoding, size_t count, uint16_t *s, float *z, float keep,
                     float part);

/* z <- z + part (x - dec(enc(x))): the rounding error of an earlier push of x. x may be z. */
void sgp_keep_rounding(sgp_encoding_t encoding, size_t count, float *z, const float *x, float part);

/* s <- enc(x + r); r <- x + r - dec(s): error feedback. */
void sgp_encode_feedback(sgp_encoding_t encoding, size_t count, uint16_t *s, const float *x,
                         float *r);

/* s <- enc(x); r <- times (x - dec(s)); x <- dec(s) */
void sgp_encode_mean(sgp_encoding_t encoding, size_t count, uint16_t *s, float *x, float *r,
                     float times);

/* Whether no number in s stands for an infinity or a NaN. */
bool sgp_encoded_finite(sgp_encoding_t encoding, size_t count, const uint16_t *s);

/* z <- z + a (dec(s) - z) */
void sgp_decode_absorb(sgp_encoding_t encoding, size_t count, float *z, const uint16_t *s, float a);

/* z <- z + a dec(s) */
void sgp_decode_add(sgp_encoding_t encoding, size_t count, float *z, const uint16_t *s, float a);

/* s <- enc((a - dec(b)) / 2); a <- a - dec(s): a becomes the mean of both, and so does b when it adds
 * dec(s). */
void sgp_encode_pair(sgp_encoding_t encoding, size_t count, float *a, const uint16_t *b,
                     uint16_t *s);

/* For tests. true: use no instructions that only some CPUs have. */
void sgp_encoding_only_plain(bool only);

#endif
