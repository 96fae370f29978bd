/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/exif.h"

#include <stdbool.h>
#include <string.h>

enum { UPRIGHT = 1, TAG = 0x0112, ENTRY_BYTES = 12, TYPE_SHORT = 3 };

/* The TIFF file within the Exif segment. */
typedef struct tiff {
    const uint8_t *bytes; /* (size) */
    size_t size;
    bool big_endian;
} tiff_t;

static unsigned get16(const tiff_t *tiff, size_t at) {
    unsigned first = tiff->bytes[at], second = tiff->bytes[at + 1];
    return tiff->big_endian ? first << 8 | second : second << 8 | first;
}

static size_t get32(const tiff_t *tiff, size_t at) {
    size_t first = get16(tiff, at), second = get16(tiff, at + 2);
    return tiff->big_endian ? first << 16 | second : second << 16 | first;
}

/* In the first directory. */
static int find_tag(const tiff_t *tiff) {
    if (tiff->size < 8) return UPRIGHT;
    size_t at = get32(tiff, 4);
    if (at > tiff->size - 2) return UPRIGHT;
    size_t entries = get16(tiff, at);
    at += 2;
    for (size_t i = 0; i < entries && tiff->size - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES) {
        if (get16(tiff, at) != TAG || get16(tiff, at + 2) != TYPE_SHORT) continue;
        unsigned value = get16(tiff, at + 8);
        return value >= 1 && value <= 8 ? (int)value : UPRIGHT;
    }
    return UPRIGHT;
}

static int parse_exif(const uint8_t *bytes, size_t size) {
    if (size < 8 || memcmp(bytes, "Exif\0\0", 6) != 0) return UPRIGHT;
    tiff_t tiff = {.bytes = bytes + 6, .size = size - 6, .big_endian = bytes[6] == 'M'};
    if (memcmp(tiff.bytes, tiff.big_endian ? "MM" : "II", 2) != 0) return UPRIGHT;
    return find_tag(&tiff);
}

/* Over the segments before the picture itself: 0xff, marker, length with its own two bytes, contents. */
int exif_orientation(const uint8_t *bytes, size_t size) {
    enum { START = 0xd8, EXIF = 0xe1, SCAN = 0xda };
    size_t at = 2;
    if (size < 4 || bytes[0] != 0xff || bytes[1] != START) return UPRIGHT;
    while (size - at >= 4 && bytes[at] == 0xff && bytes[at + 1] != SCAN) {
        size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (length < 2 || length > size - at - 2) return UPRIGHT;
        if (bytes[at + 1] == EXIF) {
            int found = parse_exif(bytes + at + 4, length - 2);
            if (found != UPRIGHT) return found;
        }
        at += 2 + length;
    }
    return UPRIGHT;
}
