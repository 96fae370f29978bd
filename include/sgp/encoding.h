/* SPDX-License-Identifier: Apache-2.0 */
/* How the numbers of a vector travel. They are computed with in float32 everywhere; the shorter
 * encodings send fewer bytes between the nodes: half, a quarter, an eighth. Values are rounded to the
 * nearest, ties to even. The sender keeps the rounding error of its message, so no mass is lost.
 *
 * int8, and with SGP_ALGORITHM_ALLREDUCE int4, round blocks of 256 numbers to multiples of one scale, the
 * largest absolute value of the block over 127 or 7.
 *
 * int8m, int6, int5, and with SGP_ALGORITHM_SGP and SGP_ALGORITHM_DPSGD (overlap 0) int4, know the receiver:
 * a number travels modulo 256, 64, 32 or 16 steps, and the receiver's own number tells which one is meant.
 * The steps are far finer than those of a scale. A block of 256 numbers of which the receiver is too far away
 * comes again in float32. Each receiver answers each chunk, and the sender's step waits for the answer.
 *
 * With all of these allow_not_finite must be false: they have no infinities and no NaNs. */
#ifndef SGP_ENCODING_H
#define SGP_ENCODING_H

#include <sgp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sgp_encoding {
    SGP_ENCODING_DEFAULT = 0,  /* float32 */
    SGP_ENCODING_FLOAT32 = 1,  /* 4 bytes, exact */
    SGP_ENCODING_BFLOAT16 = 2, /* 2 bytes: the range of float32, 8 significant bits */
    SGP_ENCODING_FLOAT16 =
        3,                 /* 2 bytes, IEEE 754 binary16: 11 significant bits from 6e-5 to 65504 */
    SGP_ENCODING_INT8 = 4, /* 1 byte, and 4 for each 256 numbers: 3.94 times fewer than float32 */
    SGP_ENCODING_INT4 = 5, /* half a byte, and 4 or 5 for each 256 numbers: 7.7 times fewer */
    SGP_ENCODING_INT8M =
        6, /* 1 byte, and 5 for each 256 numbers, modulo 256 steps: 3.9 times fewer */
    SGP_ENCODING_INT6 =
        7, /* 6 bits, and 5 bytes for each 256 numbers, modulo 64 steps: 5.2 times fewer */
    SGP_ENCODING_INT5 =
        8, /* 5 bits, and 5 bytes for each 256 numbers, modulo 32 steps: 6.2 times fewer */
} sgp_encoding_t;

/* "float32", "bfloat16", "float16", "int8", "int4", "int8m", "int6", "int5"; never NULL, static. */
SGP_API const char *sgp_encoding_name(sgp_encoding_t encoding);

/* The encoding of that name. SGP_ERR_NOT_FOUND leaves *encoding as it was. */
SGP_API sgp_status_t sgp_encoding_parse(const char *name, sgp_encoding_t *encoding);

#ifdef __cplusplus
}
#endif
#endif
