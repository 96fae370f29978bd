/* SPDX-License-Identifier: Apache-2.0 */
#include "files/crc32c.h"

#define POLYNOMIAL 0x82f63b78u /* 0x1edc6f41, lowest bit first */

uint32_t crc32c(const void *bytes, size_t count) {
    const uint8_t *next = bytes;
    uint32_t rest = ~0u;
    for (size_t i = 0; i < count; i++) {
        rest ^= next[i];
        for (int bit = 0; bit < 8; bit++) rest = rest >> 1 ^ (rest & 1 ? POLYNOMIAL : 0);
    }
    return ~rest;
}
