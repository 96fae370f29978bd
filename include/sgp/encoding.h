/* SPDX-License-Identifier: Apache-2.0 */
/* How the numbers of a vector travel. They are computed with in float32 everywhere; the shorter
 * encodings halve the bytes between the nodes. Values are rounded to the nearest, ties to even. The
 * sender keeps the rounding error of its message, so no mass is lost. */
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
        3, /* 2 bytes, IEEE 754 binary16: 11 significant bits from 6e-5 to 65504 */
} sgp_encoding_t;

/* "float32", "bfloat16", "float16"; never NULL, static. */
SGP_API const char *sgp_encoding_name(sgp_encoding_t encoding);

/* The encoding of that name. SGP_ERR_NOT_FOUND leaves *encoding as it was. */
SGP_API sgp_status_t sgp_encoding_parse(const char *name, sgp_encoding_t *encoding);

#ifdef __cplusplus
}
#endif
#endif
