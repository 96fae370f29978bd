/* SPDX-License-Identifier: Apache-2.0 */
/* A JPEG as it comes from a file: the choice of a crop, then its bytes. */
#include "fuzz_picture.h"

#include "data/picture/exif.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    unsigned random = fuzz_byte(&input);
    fuzz_picture(input.bytes, input.left, random);
    int orientation = exif_orientation(input.bytes, input.left);
    FUZZ_CHECK(orientation >= 1 && orientation <= 8);
    return 0;
}
