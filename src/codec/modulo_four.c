/* SPDX-License-Identifier: Apache-2.0 */
/* The modulo codes in vectors of 4, which compilers make of the instructions that every x86-64 or ARMv8 CPU has. */
#include "codec/modulo_kernels.h"

#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LANES  4
#define TARGET /* none */
#include "codec/modulo_lanes.h"

/* Sizes of floats, below 2^31: signed numbers compare faster. */
INLINE words_t vector_larger(words_t a, words_t b) {
    words_t larger = (words_t)((signed_words_t)a > (signed_words_t)b);
    return (a & larger) | (b & ~larger);
}

INLINE void store_halves(void *to, words_t words) {
    uint16_t halves __attribute__((vector_size(2 * LANES)));
    halves = __builtin_convertvector(words, __typeof__(halves));
    memcpy(to, &halves, sizeof halves);
}

const sgp_modulo_kernels_t *sgp_modulo_four(void) {
    return &kernels;
}
#else
const sgp_modulo_kernels_t *sgp_modulo_four(void) {
    return NULL;
}
#endif
