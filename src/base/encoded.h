/* SPDX-License-Identifier: Apache-2.0 */
/* How many bytes encoded numbers have, and how many of them a chunk holds: for the transports and all that send vectors.
 * Pure arithmetic; the numbers themselves are codec/codec.h's.
 *
 * float32, bfloat16 and float16 have 4, 2 and 2 bytes per number. int8 and int4 come in blocks of SGP_BLOCK numbers; the
 * last block of a chunk may be shorter. A block is
 *
 *     at  bytes  field
 *      0    4    scale, a float32; finite, at least 0, and small enough for the largest code times it to be finite
 *      4    n    int8: the codes of its n numbers, from -127 to 127
 *      4   n/2   int4: (n + 1) / 2 bytes; the lower half of byte i is the code of number i, the upper half that of number
 *                i + (n + 1) / 2, from -7 to 7 in two's complement; 0 where there is no such number
 *
 * and its numbers are scale times code. int8m, int6, int5 and int4m (the int4 of algorithms that push) have whole blocks of
 * 5 + 32 bits bytes, the last one too: codec/modulo.h has their bytes. The blocks of a chunk follow each other, so each chunk is decoded alone. A chunk in
 * blocks has at most as many numbers as one in float32: what is computed of it while it is in the cache is as long, and
 * pipelines are as deep. */
#ifndef SGP_BASE_ENCODED_H
#define SGP_BASE_ENCODED_H

#include <sgp/encoding.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The values of sgp_encoding_t travel as they are; 0, its default, marks bytes that are no vector.
 * A receiver refuses a message of an unknown encoding. */
#define SGP_ENCODING_BYTES ((sgp_encoding_t)0)
#define SGP_ENCODING_INT4M ((sgp_encoding_t)9)
#define SGP_ENCODING_LAST  SGP_ENCODING_INT4M

/* Numbers with one scale; their scale. */
#define SGP_BLOCK       256
#define SGP_SCALE_BYTES 4

#define SGP_MODULO_HEAD_BYTES 5 /* of a block that knows the receiver */

/* Of the codes of an encoding that knows the receiver: 8, 6, 5 or 4; 0: another encoding. */
static inline int sgp_encoding_modulo_bits(sgp_encoding_t encoding) {
    if (encoding == SGP_ENCODING_INT8M) return 8;
    if (encoding == SGP_ENCODING_INT6) return 6;
    if (encoding == SGP_ENCODING_INT5) return 5;
    return encoding == SGP_ENCODING_INT4M ? 4 : 0;
}

static inline bool sgp_encoding_has_blocks(sgp_encoding_t encoding) {
    return encoding == SGP_ENCODING_INT8 || encoding == SGP_ENCODING_INT4 ||
           sgp_encoding_modulo_bits(encoding) > 0;
}

/* Bytes of the payload of a chunk with `count` numbers. */
size_t sgp_encoding_bytes(sgp_encoding_t encoding, size_t count);

/* Bytes of room in a transport that a number takes: a full chunk has chunk_bytes of room, whatever of it is used. */
size_t sgp_encoding_room(sgp_encoding_t encoding);

/* Numbers in a full chunk of at most chunk_bytes of payload: whole blocks, if one fits. > 0. An encoding that knows the
 * receiver needs chunks with room for a block of float32. */
size_t sgp_encoding_fit(sgp_encoding_t encoding, size_t chunk_bytes);

/* Bytes of all payloads of a message with `count` numbers. */
uint64_t sgp_encoding_message(sgp_encoding_t encoding, size_t chunk_bytes, uint64_t count);

#endif
