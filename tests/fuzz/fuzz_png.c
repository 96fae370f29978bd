/* SPDX-License-Identifier: Apache-2.0 */
/* A PNG as it comes from a file: switches, the choice of a crop, then its bytes. */
#include "fuzz_picture.h"

#include <zlib.h>

enum { SIGNATURE = 8, CHUNK_HEAD = 8, CHUNK_CRC = 4 };

static uint32_t number(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The checksums of all chunks that are there. */
static void repair(uint8_t *bytes, size_t size) {
    for (size_t at = SIGNATURE; at + CHUNK_HEAD + CHUNK_CRC <= size;) {
        uint32_t length = number(bytes + at);
        if (length > size - at - CHUNK_HEAD - CHUNK_CRC) return;
        uint8_t *end = bytes + at + CHUNK_HEAD + length;
        uint32_t sum = (uint32_t)crc32(0, bytes + at + 4, length + 4);
        for (int i = 0; i < 4; i++) end[i] = (uint8_t)(sum >> (24 - 8 * i));
        at += CHUNK_HEAD + length + CHUNK_CRC;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    unsigned switches = fuzz_byte(&input), random = fuzz_byte(&input);
    uint8_t *bytes = malloc(input.left ? input.left : 1);
    FUZZ_CHECK(bytes);
    size_t count = fuzz_take(&input, bytes, input.left);
    if (switches & FUZZ_REPAIR) repair(bytes, count);
    fuzz_picture(bytes, count, random);
    free(bytes);
    return 0;
}
