/* SPDX-License-Identifier: Apache-2.0 */
/* src/codec: how a vector travels. Pure functions over arrays, for the mixing and the simulated nodes; they know no
 * message, no node and no thread. One file per encoding; codec.c has the table of them.
 *
 * bfloat16 and IEEE 754 binary16 have 16 bits. int8 and int4 come in blocks with one scale (base/encoded.h has their bytes,
 * quantize.h their arithmetic). Most calls here combine an encoding with the arithmetic of the mixing in one pass over
 * memory.
 *
 * Rounding is to nearest, ties to even. A finite number stays finite: beyond the largest number of an encoding it becomes
 * that number. In 16 bits infinities stay infinities, and a NaN stays a NaN (quiet, with its sign and the payload that
 * fits); a block with either has a NaN for its scale, and is not sent. The bits are the same on every CPU, whatever its
 * instructions and however its float unit treats denormals.
 *
 * enc and dec stand for the two directions; s: sgp_encoding_bytes(encoding, count) bytes, in the byte order of the machine
 * (little-endian on all machines that we run on), 2-byte aligned for the encodings of 16 bits. Blocks are counted from the
 * first element of a call. Arrays have `count` elements and do not overlap. encoding: a lossy one that
 * does not know the receiver (modulo.h), but for is_lossy and valid; anything else is our own mistake. */
#ifndef SGP_CODEC_CODEC_H
#define SGP_CODEC_CODEC_H

#include "base/encoded.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "float32, bfloat16, float16, int8, int4, int8m, int6, int5": for help and error messages. Static. */
const char *sgp_encoding_names(void);

/* Whether encoding a number rounds it. */
static inline bool sgp_encoding_is_lossy(sgp_encoding_t encoding) {
    return encoding == SGP_ENCODING_BFLOAT16 || encoding == SGP_ENCODING_FLOAT16 ||
           sgp_encoding_has_blocks(encoding);
}

/* s <- enc(x) */
void sgp_encode(sgp_encoding_t encoding, size_t count, void *s, const float *x);

/* x <- dec(s) */
void sgp_decode(sgp_encoding_t encoding, size_t count, float *x, const void *s);

/* s <- enc(z); z <- keep z + part (z - dec(s)): the sender keeps the rounding error. */
void sgp_encode_keep(sgp_encoding_t encoding, size_t count, void *s, float *z, float keep,
                     float part);

/* z <- z + part (x - dec(enc(x))): the rounding error of an earlier push of x. x may be z. */
void sgp_keep_rounding(sgp_encoding_t encoding, size_t count, float *z, const float *x, float part);

/* The same for x that lies inside of a block whose largest absolute value is `largest` (of sgp_block_largest): for a part of
 * the block, when others of its numbers have changed already. The encoding has blocks. */
void sgp_keep_rounding_within(sgp_encoding_t encoding, size_t count, float *z, const float *x,
                              float part, uint32_t largest);

/* The bits of the largest absolute value of a block. */
uint32_t sgp_block_largest(size_t count, const float *x);

/* s <- enc(x + r); r <- x + r - dec(s): error feedback. */
void sgp_encode_feedback(sgp_encoding_t encoding, size_t count, void *s, const float *x, float *r);

/* s <- enc(x); r <- times (x - dec(s)); x <- dec(s) */
void sgp_encode_mean(sgp_encoding_t encoding, size_t count, void *s, float *x, float *r,
                     float times);

/* Whether no number in s, which was encoded here, stands for an infinity or a NaN. */
bool sgp_encoded_finite(sgp_encoding_t encoding, size_t count, const void *s);

/* Whether s, which another node has sent, may be decoded: each scale is one of finite numbers, and each code is one of the
 * encoding. Without blocks: always. */
bool sgp_encoded_valid(sgp_encoding_t encoding, size_t count, const void *s);

/* z <- z + a (dec(s) - z) */
void sgp_decode_absorb(sgp_encoding_t encoding, size_t count, float *z, const void *s, float a);

/* z <- z + a dec(s) */
void sgp_decode_add(sgp_encoding_t encoding, size_t count, float *z, const void *s, float a);

/* s <- enc((a - dec(b)) / 2); a <- a - dec(s): a becomes the mean of both, and so does b when it adds
 * dec(s). */
void sgp_encode_pair(sgp_encoding_t encoding, size_t count, float *a, const void *b, void *s);

/* For tests. true: use no instructions that only some CPUs have. */
void sgp_encoding_only_plain(bool only);

#endif
