/* SPDX-License-Identifier: Apache-2.0 */
/* int8: blocks of a scale and one code of a byte for each number (base/encoded.h). */
#include "codec/codec_internal.h"
#include "codec/quantize.h"

#include "base/vector.h"
#include "base/encoded.h"

#include <string.h>

enum { LEVELS = 127, BLOCK_BYTES = SGP_SCALE_BYTES + SGP_BLOCK };

static void encode(size_t n, void *s, const float *x) {
    unsigned char *at = s;
    for (size_t i = 0; i < n; i += SGP_BLOCK, at += BLOCK_BYTES) {
        size_t count = sgp_quantize_block(n, i);
        uint32_t largest = sgp_quantize_largest(count, x + i);
        uint32_t scale =
            sgp_quantize(count, (int8_t *)at + SGP_SCALE_BYTES, x + i, largest, LEVELS);
        memcpy(at, &scale, sizeof scale);
    }
}

static void decode(size_t n, float *x, const void *s) {
    const unsigned char *at = s;
    for (size_t i = 0; i < n; i += SGP_BLOCK, at += BLOCK_BYTES) {
        uint32_t scale;
        memcpy(&scale, at, sizeof scale);
        sgp_dequantize(sgp_quantize_block(n, i), x + i, (const int8_t *)at + SGP_SCALE_BYTES,
                       scale);
    }
}

static void round_within(size_t n, float *t, const float *x, uint32_t largest) {
    sgp_quantize_round(n, t, x, largest, LEVELS);
}

SGP_VECTOR static bool are_codes(size_t n, const unsigned char *codes) {
    unsigned char bad = 0;
    for (size_t i = 0; i < n; i++) bad |= codes[i] == 0x80;
    return bad == 0;
}

static bool is_valid(size_t n, const void *s) {
    const unsigned char *at = s;
    bool valid = true;
    for (size_t i = 0; i < n; i += SGP_BLOCK, at += BLOCK_BYTES) {
        uint32_t scale;
        memcpy(&scale, at, sizeof scale);
        valid &= sgp_scale_is_valid(scale, LEVELS);
        valid &= are_codes(sgp_quantize_block(n, i), at + SGP_SCALE_BYTES);
    }
    return valid;
}

const sgp_codec_t sgp_codec_int8 = {
    .encode = encode,
    .decode = decode,
    .round_within = round_within,
    .is_valid = is_valid,
};
