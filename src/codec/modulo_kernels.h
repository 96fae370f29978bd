/* SPDX-License-Identifier: Apache-2.0 */
/* One block of a modulo code, for the files of this folder: modulo.c walks over the blocks and decides, a set of kernels
 * does the arithmetic. The sets give the same bits; modulo_plain.c is the definition.
 *
 * u = z/delta is exact, and MAGIC + u rounds it to a whole number (to nearest, ties to even), which the low bits of the sum
 * then hold. This wants |u| <= 2^22 and the rounding mode to nearest, in which all our code runs. */
#ifndef SGP_CODEC_MODULO_KERNELS_H
#define SGP_CODEC_MODULO_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define MODULO_BLOCK 256 /* numbers of a block */

#define MAGIC      0x1.8p23f
#define MAGIC_BITS 0x4b400000u /* of MAGIC: those of MAGIC + q are this number + q */

/* The bytes of a block: the check, the exponent, the codes. */
enum { MODULO_AT_EXPONENT = 4, MODULO_AT_CODES = 5 };

/* The codes' low bits, as many as one plane takes, come first; the bits above them follow in a second plane. */
static inline int modulo_low_width(int bits) {
    return bits == 8 ? 8 : 4;
}

/* The factors of the check. All are odd, and no sum of up to four of them, with signs and repetitions, is 0 mod 2^32. */
extern const uint32_t sgp_modulo_weights[MODULO_BLOCK];
#define MODULO_WEIGHTS_SUM 0xffef1a80u /* mod 2^32 */

/* The parameters with which a block is encoded. */
typedef struct modulo_scale {
    float delta, inverse; /* a power of two, and 1 / delta; both normal */
} modulo_scale_t;

typedef struct modulo_keep {
    float keep, part;
} modulo_keep_t;

/* All arrays have MODULO_BLOCK elements, codes 32 bits bytes. */
typedef struct sgp_modulo_kernels {
    /* The largest |z|, by its bits: more than those of infinity if one is a NaN. */
    uint32_t (*largest)(const float *z);
    /* codes <- q mod M; returns the check. |z/delta| < 2^22 - 256. */
    uint32_t (*encode)(int bits, unsigned char *codes, const float *z, modulo_scale_t scale);
    /* The same, and z <- keep z + part (z - y); *error: the largest |z - y|. */
    uint32_t (*encode_keep)(int bits, unsigned char *codes, float *z, modulo_scale_t scale,
                            modulo_keep_t keep, float *error);
    /* y <- the multiples of delta that are nearest to z among those with these codes; returns their check. *largest: as
     * above; y and the check mean something only if it is below that of 2^22 delta - 128 delta. */
    uint32_t (*decode)(int bits, float *y, const float *z, const unsigned char *codes,
                       modulo_scale_t scale, uint32_t *largest);
    /* z <- z + a (y - z); returns the largest |y - z|, of the old z. */
    float (*absorb)(float *z, const float *y, float a);
    /* The largest |a - b|. */
    float (*distance)(const float *a, const float *b);
} sgp_modulo_kernels_t;

extern const sgp_modulo_kernels_t sgp_modulo_plain;

/* NULL where this compiler or CPU has no such instructions. */
const sgp_modulo_kernels_t *sgp_modulo_four(void);
const sgp_modulo_kernels_t *sgp_modulo_avx2(void);
const sgp_modulo_kernels_t *sgp_modulo_avx512(void);

#endif
