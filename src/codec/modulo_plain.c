/* SPDX-License-Identifier: Apache-2.0 */
/* The modulo codes in plain C: the definition that the other kernels are held against. */
#include "codec/float_bits.h"
#include "codec/modulo_kernels.h"

enum { BLOCK = MODULO_BLOCK };

/* Where code i of a plane lies. A plane is 16 words wide, so that element 16 j + l belongs to lane l of a vector; a
 * word holds one element of each of the vectors that fit into 32 bits, or of all 16. */
typedef struct place {
    int byte, shift;
} place_t;

static place_t place_of(int width, int i) {
    int each = width == 1 ? 16 : 32 / width; /* elements of a word */
    int word = i / (16 * each) * 16 + i % 16;
    int bit = word * each * width + i / 16 % each * width;
    return (place_t){bit / 8, bit % 8};
}

static unsigned get(const unsigned char *plane, int width, int i) {
    place_t place = place_of(width, i);
    return (unsigned)plane[place.byte] >> place.shift & ((1u << width) - 1);
}

static void put(unsigned char *plane, int width, int i, unsigned value) {
    place_t place = place_of(width, i);
    unsigned mask = ((1u << width) - 1) << place.shift;
    plane[place.byte] =
        (unsigned char)((plane[place.byte] & ~mask) | (value << place.shift & mask));
}

static unsigned get_code(int bits, const unsigned char *codes, int i) {
    int low = modulo_low_width(bits);
    unsigned code = get(codes, low, i);
    if (bits > low) code |= get(codes + BLOCK * low / 8, bits - low, i) << low;
    return code;
}

static void put_code(int bits, unsigned char *codes, int i, unsigned code) {
    int low = modulo_low_width(bits);
    put(codes, low, i, code);
    if (bits > low) put(codes + BLOCK * low / 8, bits - low, i, code >> low);
}

/* rint(z / delta) + MAGIC_BITS */
static uint32_t rounded(float z, float inverse) {
    return bits_of(z * inverse + MAGIC);
}

/* q div 2^bits, downwards; q + MAGIC_BITS is positive, and MAGIC_BITS a multiple. */
static uint32_t wraps(uint32_t rounded, int bits) {
    return (rounded >> bits) - (MAGIC_BITS >> bits);
}

static float value_of(uint32_t rounded, float delta) {
    return (float_of(rounded) - MAGIC) * delta;
}

static float size_of(float x) {
    return float_of(bits_of(x) & ~SIGN);
}

/* Of sizes, by their bits: a NaN is the largest. */
static float larger(float a, float b) {
    return bits_of(b) > bits_of(a) ? b : a;
}

static uint32_t largest_of(const float *z) {
    float most = 0;
    for (int i = 0; i < BLOCK; i++) most = larger(most, size_of(z[i]));
    return bits_of(most);
}

static uint32_t encode(int bits, unsigned char *codes, const float *z, modulo_scale_t scale) {
    uint32_t check = 0;
    for (int i = 0; i < BLOCK; i++) {
        uint32_t q = rounded(z[i], scale.inverse);
        put_code(bits, codes, i, q & ((1u << bits) - 1));
        check += sgp_modulo_weights[i] * wraps(q, bits);
    }
    return check;
}

static uint32_t encode_keep(int bits, unsigned char *codes, float *z, modulo_scale_t scale,
                            modulo_keep_t keep, float *error) {
    uint32_t check = encode(bits, codes, z, scale);
    float most = 0;
    for (int i = 0; i < BLOCK; i++) {
        float rest = z[i] - value_of(rounded(z[i], scale.inverse), scale.delta);
        z[i] = keep.keep * z[i] + keep.part * rest;
        most = larger(most, size_of(rest));
    }
    *error = most;
    return check;
}

static uint32_t decode(int bits, float *y, const float *z, const unsigned char *codes,
                       modulo_scale_t scale, uint32_t *largest) {
    uint32_t check = 0, half = 1u << (bits - 1), mask = (1u << bits) - 1;
    for (int i = 0; i < BLOCK; i++) {
        uint32_t own = rounded(z[i], scale.inverse);
        /* The step from our own number to the next one with this code, from -M/2 to M/2 - 1. */
        uint32_t step = ((get_code(bits, codes, i) - own + half) & mask) - half;
        uint32_t q = own + step;
        check += sgp_modulo_weights[i] * wraps(q, bits);
        y[i] = value_of(q, scale.delta);
    }
    *largest = largest_of(z);
    return check;
}

static float absorb(float *z, const float *y, float a) {
    float most = 0;
    for (int i = 0; i < BLOCK; i++) {
        float away = y[i] - z[i];
        z[i] += a * away;
        most = larger(most, size_of(away));
    }
    return most;
}

static float distance(const float *a, const float *b) {
    float most = 0;
    for (int i = 0; i < BLOCK; i++) most = larger(most, size_of(a[i] - b[i]));
    return most;
}

const sgp_modulo_kernels_t sgp_modulo_plain = {
    .largest = largest_of,
    .encode = encode,
    .encode_keep = encode_keep,
    .decode = decode,
    .absorb = absorb,
    .distance = distance,
};
