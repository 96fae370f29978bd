/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions of one number in integers, without a branch, so that loops over them become vector code. For the
 * encodings' files. */
#ifndef SGP_CODEC_FLOAT_BITS_H
#define SGP_CODEC_FLOAT_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SIGN     0x80000000u
#define INFINITE 0x7f800000u
#define QUIET    0x00400000u

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* condition ? a : b. Compilers make branches of the operator, and no vectors of branches. */
static inline uint32_t choose(bool condition, uint32_t a, uint32_t b) {
    return b ^ ((a ^ b) & -(uint32_t)condition);
}

#endif
