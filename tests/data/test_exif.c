/* SPDX-License-Identifier: Apache-2.0 */
/* The orientation of pictures, as PIL writes it and in both byte orders. */
#include "picture_support.h"

#include "data/picture/exif.h"

/* A JPEG's beginning with one Exif segment of one entry. */
static picture_file_t make(bool big_endian, unsigned tag, unsigned value) {
    uint8_t bytes[] = {0xff, 0xd8, 0xff, 0xe0, 0,   4,  'J', 'F', 0xff, 0xe1, 0, 34, 'E', 'x', 'i',
                       'f',  0,    0,    'I',  'I', 42, 0,   8,   0,    0,    0, 1,  0,   0,   0,
                       3,    0,    1,    0,    0,   0,  0,   0,   0,    0,    0, 0,  0,   0};
    uint8_t *tiff = bytes + 18;
    tiff[10] = (uint8_t)tag;
    tiff[11] = (uint8_t)(tag >> 8);
    tiff[18] = (uint8_t)value;
    if (big_endian) {
        memcpy(tiff, "MM", 2);
        for (int i = 2; i < 26; i += 2) { /* shorts change their bytes, longs the shorts as well */
            uint8_t byte = tiff[i];
            tiff[i] = tiff[i + 1];
            tiff[i + 1] = byte;
        }
        for (int i = 4; i <= 14; i += 10) {
            uint8_t half[2] = {tiff[i], tiff[i + 1]};
            memcpy(tiff + i, tiff + i + 2, 2);
            memcpy(tiff + i + 2, half, 2);
        }
    }
    return picture_bytes(bytes, sizeof bytes);
}

static void both_byte_orders_are_read(void **state) {
    (void)state;
    for (int big_endian = 0; big_endian < 2; big_endian++)
        for (unsigned value = 0; value < 12; value++) {
            picture_file_t file = make(big_endian, 0x0112, value);
            assert_int_equal(exif_orientation(file.bytes, file.size),
                             value >= 1 && value <= 8 ? value : 1);
            free(file.bytes);
            file = make(big_endian, 0x0113, value);
            assert_int_equal(exif_orientation(file.bytes, file.size), 1);
            free(file.bytes);
        }
}

static void pictures_of_pil_are_read(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int orientation;
    } rows[] = {{"exif.jpg", 6}, {"420.jpg", 1}, {"grey8.png", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        picture_file_t file = picture_read(rows[i].name);
        assert_int_equal(exif_orientation(file.bytes, file.size), rows[i].orientation);
        free(file.bytes);
    }
}

/* Every beginning of a picture, and every byte of its head changed; a sanitizer sees a read beyond the end. */
static void damage_is_harmless(void **state) {
    (void)state;
    picture_file_t whole = picture_read("exif.jpg");
    size_t head = whole.size < 300 ? whole.size : 300;
    for (size_t size = 0; size < head; size++) {
        picture_file_t part = picture_bytes(whole.bytes, size);
        int found = exif_orientation(part.bytes, part.size);
        assert_true(found == 1 || found == 6);
        free(part.bytes);
    }
    for (size_t i = 0; i < head; i++)
        for (int bit = 0; bit < 8; bit++) {
            whole.bytes[i] ^= (uint8_t)(1 << bit);
            int found = exif_orientation(whole.bytes, whole.size);
            assert_true(found >= 1 && found <= 8);
            whole.bytes[i] ^= (uint8_t)(1 << bit);
        }
    free(whole.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_byte_orders_are_read),
        cmocka_unit_test(pictures_of_pil_are_read),
        cmocka_unit_test(damage_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
