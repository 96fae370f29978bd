/* SPDX-License-Identifier: Apache-2.0 */
/* The modulo codes in vectors, by the compiler's vector types. A file that includes this defines LANES (4, 8 or 16), TARGET
 * (the function attribute for its instructions), and then the functions vector_larger and store_halves. */
#ifndef SGP_CODEC_MODULO_LANES_H
#define SGP_CODEC_MODULO_LANES_H

#include "codec/float_bits.h"
#include "codec/modulo_kernels.h"

#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float vector_t __attribute__((vector_size(4 * LANES)));
typedef uint32_t words_t __attribute__((vector_size(4 * LANES)));
typedef int32_t signed_words_t __attribute__((vector_size(4 * LANES)));

/* Of the bits of sizes, so below 2^31. */
INLINE words_t vector_larger(words_t a, words_t b);
/* The lower 16 bits of each word. */
INLINE void store_halves(void *to, words_t words);

INLINE vector_t load(const float *from) {
    vector_t vector;
    memcpy(&vector, from, sizeof vector);
    return vector;
}

INLINE words_t load_words(const void *from) {
    words_t words;
    memcpy(&words, from, sizeof words);
    return words;
}

INLINE words_t load_halves(const void *from) {
    uint16_t halves __attribute__((vector_size(2 * LANES)));
    memcpy(&halves, from, sizeof halves);
    return __builtin_convertvector(halves, words_t);
}

INLINE void store(float *to, vector_t vector) {
    memcpy(to, &vector, sizeof vector);
}

INLINE words_t size_of(vector_t x) {
    return (words_t)x & ~SIGN;
}

INLINE uint32_t sum_of(words_t words) {
    uint32_t sum = 0;
    for (int i = 0; i < LANES; i++) sum += words[i];
    return sum;
}

INLINE uint32_t largest_lane(words_t words) {
    uint32_t most = 0;
    for (int i = 0; i < LANES; i++) most = words[i] > most ? words[i] : most;
    return most;
}

TARGET static uint32_t largest_of(const float *z) {
    words_t most = {0};
    for (int i = 0; i < MODULO_BLOCK; i += LANES) most = vector_larger(most, size_of(load(z + i)));
    return largest_lane(most);
}

TARGET static float absorb(float *z, const float *y, float a) {
    words_t most = {0};
    for (int i = 0; i < MODULO_BLOCK; i += LANES) {
        vector_t own = load(z + i), away = load(y + i) - own;
        store(z + i, own + a * away);
        most = vector_larger(most, size_of(away));
    }
    return float_of(largest_lane(most));
}

TARGET static float distance(const float *a, const float *b) {
    words_t most = {0};
    for (int i = 0; i < MODULO_BLOCK; i += LANES)
        most = vector_larger(most, size_of(load(a + i) - load(b + i)));
    return float_of(largest_lane(most));
}

/* The words of one plane take elements from the last to the first, so that each shift is by the same width. */
INLINE uint32_t encode_any(int bits, unsigned char *codes, const float *z, modulo_scale_t scale,
                           float *kept, modulo_keep_t keep, float *error) {
    const int low = modulo_low_width(bits), high = bits - low, each = 32 / low;
    unsigned char *plane = codes + MODULO_BLOCK * low / 8;
    words_t check = {0}, most = {0};
    for (int half = 0; half < 16; half += LANES) {
        words_t above = {0};
        for (int j = 16; j > 0;) {
            words_t words = {0};
            for (int k = 0; k < each; k++) {
                int at = 16 * --j + half;
                vector_t own = load(z + at);
                words_t q = (words_t)(own * scale.inverse + MAGIC);
                words = words << low | (q & ((1u << low) - 1));
                if (high) above = above << high | (q >> low & ((1u << high) - 1));
                check += load_words(sgp_modulo_weights + at) * (q >> bits);
                if (!kept) continue;
                vector_t rest = own - ((vector_t)q - MAGIC) * scale.delta;
                store(kept + at, keep.keep * own + keep.part * rest);
                most = vector_larger(most, size_of(rest));
            }
            memcpy(codes + 4 * (j / each * 16 + half), &words, sizeof words);
        }
        if (high == 2) memcpy(plane + 4 * half, &above, sizeof above);
        if (high == 1) store_halves(plane + 2 * half, above);
    }
    if (kept) *error = float_of(largest_lane(most));
    return sum_of(check) - (MAGIC_BITS >> bits) * MODULO_WEIGHTS_SUM;
}

INLINE uint32_t decode_any(int bits, float *y, const float *z, const unsigned char *codes,
                           modulo_scale_t scale, uint32_t *largest) {
    const int low = modulo_low_width(bits), high = bits - low, each = 32 / low;
    const unsigned char *plane = codes + MODULO_BLOCK * low / 8;
    words_t check = {0}, most = {0};
    for (int half = 0; half < 16; half += LANES) {
        words_t above = {0};
        if (high == 2) above = load_words(plane + 4 * half);
        if (high == 1) above = load_halves(plane + 2 * half);
        for (int j = 0; j < 16;) {
            words_t words = load_words(codes + 4 * (j / each * 16 + half));
            for (int k = 0; k < each; k++, j++) {
                int at = 16 * j + half;
                vector_t value = load(z + at);
                words_t own = (words_t)(value * scale.inverse + MAGIC), code = words;
                if (high) code = (words & ((1u << low) - 1)) | above << low;
                /* The sign of the difference's low bits: a step from -M/2 to M/2 - 1. */
                words_t q =
                    own + (words_t)((signed_words_t)((code - own) << (32 - bits)) >> (32 - bits));
                check += load_words(sgp_modulo_weights + at) * (q >> bits);
                store(y + at, ((vector_t)q - MAGIC) * scale.delta);
                most = vector_larger(most, size_of(value));
                words = words >> low;
                above = above >> high;
            }
        }
    }
    *largest = largest_lane(most);
    return sum_of(check) - (MAGIC_BITS >> bits) * MODULO_WEIGHTS_SUM;
}

/* One copy of the code for each width. */
#define FOR_BITS(bits, call)                                                                       \
    switch (bits) {                                                                                \
    case 8:                                                                                        \
        return call(8);                                                                            \
    case 6:                                                                                        \
        return call(6);                                                                            \
    case 5:                                                                                        \
        return call(5);                                                                            \
    default:                                                                                       \
        return call(4);                                                                            \
    }

TARGET static uint32_t encode(int bits, unsigned char *codes, const float *z, modulo_scale_t scale){
#define CALL(b) encode_any(b, codes, z, scale, NULL, (modulo_keep_t){0}, NULL)
    FOR_BITS(bits, CALL)
#undef CALL
}

TARGET static uint32_t encode_keep(int bits, unsigned char *codes, float *z, modulo_scale_t scale,
                                   modulo_keep_t keep, float *error){
#define CALL(b) encode_any(b, codes, z, scale, z, keep, error)
    FOR_BITS(bits, CALL)
#undef CALL
}

TARGET static uint32_t decode(int bits, float *y, const float *z, const unsigned char *codes,
                              modulo_scale_t scale, uint32_t *largest) {
#define CALL(b) decode_any(b, y, z, codes, scale, largest)
    FOR_BITS(bits, CALL)
#undef CALL
}

static const sgp_modulo_kernels_t kernels = {
    .largest = largest_of,
    .encode = encode,
    .encode_keep = encode_keep,
    .decode = decode,
    .absorb = absorb,
    .distance = distance,
};

#endif
