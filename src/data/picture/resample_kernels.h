/* SPDX-License-Identifier: Apache-2.0 */
/* The two passes of resizing, over pixels of 4 bytes: PIL's integer arithmetic, rounded to 8 bits
 * after each pass. Both implementations give the same bits. */
#ifndef SGP_DATA_PICTURE_RESAMPLE_KERNELS_H
#define SGP_DATA_PICTURE_RESAMPLE_KERNELS_H

#include "data/picture/resample_axis.h"

typedef struct resample_kernels {
    /* Two rows. in: (axis->end - axis->first, 4) each, readable DECODE_SLACK bytes further; out:
     * (axis->count, 4) each, writable to a multiple of 8 bytes. */
    void (*columns)(const resample_axis_t *axis, const uint8_t *const in[2], uint8_t *const out[2]);
    /* One output. in: its taps, rows of (bytes) each; out: (bytes). bytes: a multiple of 16. */
    void (*rows)(const resample_axis_t *axis, int output, const uint8_t *const *in, int bytes,
                 uint8_t *out);
} resample_kernels_t;

/* Plain C, as the formula says: the oracle of the others, and what CPUs without them use. */
extern const resample_kernels_t resample_plain;

/* The fastest that this CPU has. */
const resample_kernels_t *resample_fastest(void);

#endif
