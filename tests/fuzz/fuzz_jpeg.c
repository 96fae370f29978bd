/* SPDX-License-Identifier: Apache-2.0 */
/* A JPEG as it comes from a file: the choice of a crop, then its bytes. */
#include "fuzz_picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    unsigned random = fuzz_byte(&input);
    fuzz_picture(input.bytes, input.left, random);
    return 0;
}
