/* SPDX-License-Identifier: Apache-2.0 */
/* int4: blocks of a scale and half a byte for each number (base/encoded.h). */
#include "codec/codec_internal.h"
#include "codec/quantize.h"

#include "base/vector.h"
#include "base/encoded.h"

#include <string.h>

enum { LEVELS = 7, BLOCK_BYTES = SGP_SCALE_BYTES + SGP_BLOCK / 2 };

/* Both halves have `half` codes; the last of `upper` may be none of the block's, and is 0. */
SGP_VECTOR static void pack(size_t half, unsigned char *restrict s, const int8_t *restrict lower,
                            const int8_t *restrict upper) {
    for (size_t i = 0; i < half; i++)
        s[i] = (unsigned char)((lower[i] & 15) | (upper[i] & 15) << 4);
}

/* To a byte's lower half, and from there with its sign. */
SGP_VECTOR static void unpack(size_t half, int8_t *restrict lower, int8_t *restrict upper,
                              const unsigned char *restrict s) {
    for (size_t i = 0; i < half; i++) {
        lower[i] = (int8_t)((s[i] & 15) ^ 8) - 8;
        upper[i] = (int8_t)(s[i] >> 4 ^ 8) - 8;
    }
}

static void encode(size_t n, void *s, const float *x) {
    unsigned char *at = s;
    int8_t codes[SGP_BLOCK + 1];
    for (size_t i = 0; i < n; i += SGP_BLOCK, at += BLOCK_BYTES) {
        size_t count = sgp_quantize_block(n, i), half = (count + 1) / 2;
        uint32_t largest = sgp_quantize_largest(count, x + i);
        uint32_t scale = sgp_quantize(count, codes, x + i, largest, LEVELS);
        codes[count] = 0;
        memcpy(at, &scale, sizeof scale);
        pack(half, at + SGP_SCALE_BYTES, codes, codes + half);
    }
}

static void decode(size_t n, float *x, const void *s) {
    const unsigned char *at = s;
    int8_t codes[SGP_BLOCK + 1];
    for (size_t i = 0; i < n; i += SGP_BLOCK, at += BLOCK_BYTES) {
        size_t count = sgp_quantize_block(n, i), half = (count + 1) / 2;
        uint32_t scale;
        memcpy(&scale, at, sizeof scale);
        unpack(half, codes, codes + half, at + SGP_SCALE_BYTES);
        sgp_dequantize(count, x + i, codes, scale);
    }
}

static void round_within(size_t n, float *t, const float *x, uint32_t largest) {
    sgp_quantize_round(n, t, x, largest, LEVELS);
}

SGP_VECTOR static bool are_codes(size_t half, const unsigned char *s) {
    unsigned char bad = 0;
    for (size_t i = 0; i < half; i++)
        bad |= (unsigned char)((s[i] & 15) == 8) | (unsigned char)((s[i] & 0xf0) == 0x80);
    return bad == 0;
}

static bool is_valid(size_t n, const void *s) {
    const unsigned char *at = s;
    bool valid = true;
    for (size_t i = 0; i < n; i += SGP_BLOCK, at += BLOCK_BYTES) {
        size_t count = sgp_quantize_block(n, i), half = (count + 1) / 2;
        uint32_t scale;
        memcpy(&scale, at, sizeof scale);
        valid &= sgp_scale_is_valid(scale, LEVELS);
        valid &= are_codes(half, at + SGP_SCALE_BYTES);
        if (count % 2) valid &= (at[SGP_SCALE_BYTES + half - 1] & 0xf0) == 0;
    }
    return valid;
}

const sgp_codec_t sgp_codec_int4 = {
    .encode = encode,
    .decode = decode,
    .round_within = round_within,
    .is_valid = is_valid,
};
