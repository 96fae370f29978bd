/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in blocks as they arrive: switches, how many (2 bytes), then their bytes; what is missing of them is 0. They are
 * refused if a scale or a code is none of the encoding, and otherwise every number is finite. */
#include "fuzz.h"

#include "codec/codec.h"

#include <math.h>

enum { INT4 = 0x02, MOST = 3 * SGP_BLOCK };

/* One block, by the table of base/encoded.h. */
static bool is_good(bool int4, const unsigned char *bytes, size_t count) {
    float scale;
    size_t half = (count + 1) / 2;
    memcpy(&scale, bytes, sizeof scale);
    bool good = isfinite(scale) && !signbit(scale) && isfinite(scale * (int4 ? 7.0f : 127.0f));
    for (size_t i = 0; i < count && !int4; i++) good &= bytes[4 + i] != 0x80;
    for (size_t i = 0; i < half && int4; i++)
        good &= (bytes[4 + i] & 15) != 8 && bytes[4 + i] >> 4 != 8;
    if (int4 && count % 2) good &= bytes[4 + half - 1] >> 4 == 0;
    return good;
}

static bool are_good(sgp_encoding_t encoding, const unsigned char *bytes, size_t count) {
    bool good = true;
    for (size_t i = 0; i < count; i += SGP_BLOCK)
        good &= is_good(encoding == SGP_ENCODING_INT4, bytes + sgp_encoding_bytes(encoding, i),
                        count - i < SGP_BLOCK ? count - i : SGP_BLOCK);
    return good;
}

/* Each number is one of its scale's multiples; all passes read the same numbers. */
static void check_numbers(sgp_encoding_t encoding, const unsigned char *bytes, size_t count) {
    float x[MOST], z[MOST] = {0};
    int most = encoding == SGP_ENCODING_INT4 ? 7 : 127;
    sgp_decode(encoding, count, x, bytes);
    sgp_decode_add(encoding, count, z, bytes, 1);
    for (size_t i = 0; i < count; i++) {
        float scale;
        memcpy(&scale, bytes + sgp_encoding_bytes(encoding, i / SGP_BLOCK * SGP_BLOCK), 4);
        FUZZ_CHECK(isfinite(x[i]) && fabsf(x[i]) <= (float)most * scale);
        FUZZ_CHECK(z[i] == x[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    unsigned switches = fuzz_byte(&input), low = fuzz_byte(&input);
    size_t count = (low | fuzz_byte(&input) << 8) % (MOST + 1);
    sgp_encoding_t encoding = switches & INT4 ? SGP_ENCODING_INT4 : SGP_ENCODING_INT8;
    size_t length = sgp_encoding_bytes(encoding, count);
    unsigned char *bytes = calloc(1, length ? length : 1); /* a read behind them is found */
    if (!bytes) return 0;
    fuzz_take(&input, bytes, length);
    bool valid = sgp_encoded_valid(encoding, count, bytes);
    FUZZ_CHECK(valid == are_good(encoding, bytes, count));
    if (valid) check_numbers(encoding, bytes, count);
    free(bytes);
    return 0;
}
