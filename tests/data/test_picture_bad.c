/* SPDX-License-Identifier: Apache-2.0 */
/* Broken, hostile and odd files are refused with a reason, before memory is taken for them, and the
 * worker reads the next picture as if nothing had been. */
#include "picture_support.h"

static float out[24 * 24 * 3], expected[24 * 24 * 3];

static const char *const whole[] = {
    "420.jpg",  "progressive.jpg", "restarts.jpg",         "cmyk.jpg",
    "rgb8.png", "palette4.png",    "interlaced-grey16.png"};
enum { WHOLE = sizeof whole / sizeof *whole };

static picture_options_t options_24(void) {
    return picture_options(24);
}

/* The worker still makes of 444.jpg what a new one makes. */
static void check_worker(picture_worker_t *worker) {
    picture_options_t options = options_24();
    picture_worker_t *fresh = picture_worker();
    picture_file_t file = picture_read("444.jpg");
    assert_int_equal(picture_train(fresh, &options, file.bytes, file.size, 3, expected), SGP_OK);
    assert_int_equal(picture_train(worker, &options, file.bytes, file.size, 3, out), SGP_OK);
    assert_memory_equal(out, expected, sizeof out);
    free(file.bytes);
    picture_worker_destroy(fresh);
}

/* All calls refuse it, and say why in one line. */
static void assert_refused(picture_worker_t *worker, picture_file_t file, const char *reason) {
    picture_options_t options = options_24();
    sgp_status_t status[] = {
        picture_check(worker, file.bytes, file.size),
        picture_train(worker, &options, file.bytes, file.size, 1, out),
        picture_test(worker, &options, file.bytes, file.size, out),
    };
    for (int i = 0; i < 3; i++) assert_int_equal(status[i], SGP_ERR_FORMAT);
    if (!strstr(picture_reason(worker), reason))
        fail_msg("no \"%s\" in: %s", reason, picture_reason(worker));
    assert_null(strchr(picture_reason(worker), '\n'));
    free(file.bytes);
}

static void test_no_picture(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    picture_info_t info = {.width = -1};
    assert_refused(worker, picture_bytes("", 0), "empty");
    assert_refused(worker, picture_bytes("\xff", 1), "neither JPEG nor PNG");
    assert_refused(worker, picture_bytes("GIF89a........", 14), "neither JPEG nor PNG");
    assert_refused(worker, picture_bytes("class,file\n1,a.jpg\n", 19), "neither JPEG nor PNG");
    assert_refused(worker, picture_bytes("\xff\xd8\xff", 3), "");
    assert_refused(worker, picture_bytes("\x89PNG\r\n\x1a\n", 8), "ends");
    assert_int_equal(picture_inspect(worker, (const uint8_t *)"text", 4, &info), SGP_ERR_FORMAT);
    assert_int_equal(info.width, -1);
    check_worker(worker);
    picture_worker_destroy(worker);
}

/* A file that ends early is no whole one, wherever it ends; a crop may lie above the end, and is
 * then the same as that of the whole file. */
static void test_truncated(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    picture_options_t options = options_24();
    for (int i = 0; i < WHOLE; i++) {
        picture_file_t file = picture_read(whole[i]);
        assert_int_equal(picture_check(worker, file.bytes, file.size), SGP_OK);
        assert_int_equal(picture_train(worker, &options, file.bytes, file.size, 2, expected), 0);
        int good = 0, bad = 0;
        for (size_t size = file.size - 1; size > 0; size -= size > 41 ? 41 : size) {
            picture_file_t cut = picture_bytes(file.bytes, size);
            assert_int_equal(picture_check(worker, cut.bytes, size), SGP_ERR_FORMAT);
            assert_true(picture_reason(worker)[0]);
            sgp_status_t status = picture_train(worker, &options, cut.bytes, size, 2, out);
            if (status == SGP_OK) assert_memory_equal(out, expected, sizeof out);
            else assert_int_equal(status, SGP_ERR_FORMAT);
            good += status == SGP_OK;
            bad += status != SGP_OK;
            free(cut.bytes);
        }
        assert_true(good + bad > 5 && bad > good / 4);
        free(file.bytes);
    }
    picture_file_t file = picture_read("420.jpg");
    picture_file_t cut = picture_bytes(file.bytes, file.size / 2);
    assert_refused(worker, cut, "it ends in the middle of the picture");
    free(file.bytes);
    check_worker(worker);
    picture_worker_destroy(worker);
}

/* Any byte may be another: a picture or a reason, nothing else. A PNG has checksums, so there a
 * change of its image or palette is found. */
static void test_damaged(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    picture_options_t options = options_24();
    sgp_random_t random;
    sgp_random_init(&random, 6, 0);
    for (int i = 0; i < WHOLE; i++) {
        picture_file_t file = picture_read(whole[i]);
        int found = 0, tried = 0;
        for (size_t at = 0; at < file.size; at += 1 + file.size / 300, tried++) {
            uint8_t kept = file.bytes[at];
            file.bytes[at] ^= (uint8_t)(1 + sgp_random_below(&random, 255));
            sgp_status_t status = picture_check(worker, file.bytes, file.size);
            assert_true(status == SGP_OK || status == SGP_ERR_FORMAT);
            found += status != SGP_OK;
            status = picture_train(worker, &options, file.bytes, file.size, at, out);
            assert_true(status == SGP_OK || status == SGP_ERR_FORMAT);
            file.bytes[at] = kept;
        }
        if (strstr(whole[i], ".png")) assert_true(found >= tried * 9 / 10);
        free(file.bytes);
    }
    check_worker(worker);
    picture_worker_destroy(worker);
}

/* Where bits are missing libjpeg fills in grey, and warns. */
static void test_damaged_scan(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    picture_file_t file = picture_read("420.jpg");
    picture_options_t options = options_24();
    memcpy(file.bytes + file.size / 2, "\xff\xd9", 2); /* end of image */
    assert_int_equal(picture_check(worker, file.bytes, file.size), SGP_ERR_FORMAT);
    assert_non_null(strstr(picture_reason(worker), "part is missing"));
    for (size_t i = 0; i < 100; i++) /* ones: no code is that */
        memcpy(file.bytes + file.size / 2 + 2 * i, "\xff\0", 2);
    assert_int_equal(picture_check(worker, file.bytes, file.size), SGP_ERR_FORMAT);
    assert_non_null(strstr(picture_reason(worker), "libjpeg: Corrupt JPEG data"));
    assert_int_equal(picture_test(worker, &options, file.bytes, file.size, out), SGP_ERR_FORMAT);
    free(file.bytes);
    check_worker(worker);
    picture_worker_destroy(worker);
}

static void put_32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* The header says another size, and is whole. */
static picture_file_t resized_png(const char *name, uint32_t width, uint32_t height) {
    picture_file_t file = picture_read(name);
    put_32(file.bytes + 16, width);
    put_32(file.bytes + 20, height);
    put_32(file.bytes + 29, (uint32_t)crc32(0, file.bytes + 12, 17));
    return file;
}

static picture_file_t resized_jpeg(const char *name, int width, int height) {
    picture_file_t file = picture_read(name);
    for (size_t i = 2; i + 9 < file.size;
         i += 2u + (size_t)file.bytes[i + 2] * 256 + file.bytes[i + 3])
        if (file.bytes[i + 1] >= 0xc0 && file.bytes[i + 1] <= 0xc2) {
            uint8_t size[] = {(uint8_t)(height >> 8), (uint8_t)height, (uint8_t)(width >> 8),
                              (uint8_t)width};
            memcpy(file.bytes + i + 5, size, sizeof size);
            return file;
        }
    fail_msg("%s has no frame", name);
    return file;
}

static void test_too_many_pixels(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    picture_info_t info;
    assert_refused(worker, resized_jpeg("420.jpg", 20000, 20000), "20000 x 20000 pixels");
    assert_refused(worker, resized_png("rgb8.png", 20000, 20000), "20000 x 20000 pixels");
    assert_refused(worker, resized_png("grey1.png", 0x7fffffff, 0x7fffffff), "pixels");
    assert_refused(worker, resized_png("grey1.png", 0, 5), "");
    picture_file_t file = resized_png("rgb8.png", 20000, 20000);
    assert_int_equal(picture_inspect(worker, file.bytes, file.size, &info), SGP_ERR_FORMAT);
    free(file.bytes);
    /* The largest that is allowed: its header is fine, and the file ends early. */
    file = resized_png("grey1.png", 13377, 13377);
    assert_int_equal(picture_inspect(worker, file.bytes, file.size, &info), SGP_OK);
    free(file.bytes);
    check_worker(worker);
    picture_worker_destroy(worker);
}

/* A few bytes that claim much memory: refused by the limit before it is allocated. A picture whose
 * rows can be read one by one needs little, whatever its size. */
static void test_bombs(void **state) {
    (void)state;
    picture_worker_t *worker = NULL;
    assert_int_equal(picture_worker_create((size_t)4 << 20, &worker), SGP_OK);
    assert_refused(worker, resized_png("interlaced-rgb8.png", 10000, 10000),
                   "takes 400 MB: should be at most 4");
    assert_refused(worker, resized_png("grey1.png", 10000000, 10), "MB: should be at most 4");
    assert_refused(worker, resized_jpeg("progressive.jpg", 12000, 9000), "MB: should be at most 4");
    assert_refused(worker, resized_png("rgb8.png", 10000, 10000), "Not enough image data");
    assert_refused(worker, resized_jpeg("420.jpg", 12000, 9000), "ends");
    check_worker(worker);
    picture_worker_destroy(worker);
}

static void test_many_scans(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    jpeg_kind_t kind = {.h = 1, .v = 1, .components = 3, .many_scans = true};
    assert_refused(worker, picture_write_jpeg(&kind, 40, 40), "more than 100 scans");
    check_worker(worker);
    picture_worker_destroy(worker);
}

/* What libjpeg would not decode to colours. */
static void test_odd_jpegs(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    picture_file_t file = picture_read("grey.jpg");
    for (size_t i = 0; i + 5 < file.size; i++)
        if (memcmp(file.bytes + i, "\xff\xc0\x00\x0b\x08", 5) == 0) file.bytes[i + 4] = 12;
    assert_refused(worker, file, "");
    file = picture_read("rgb8.png");
    file.bytes[25] = 5; /* a type of colour that does not exist */
    put_32(file.bytes + 29, (uint32_t)crc32(0, file.bytes + 12, 17));
    assert_refused(worker, file, "");
    check_worker(worker);
    picture_worker_destroy(worker);
}

/* Nor does the worker lend it those of the picture before. */
static void test_missing_tables(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    picture_file_t file = picture_read("420.jpg");
    for (size_t i = 2; i + 4 < file.size && file.bytes[i + 1] != 0xda;) {
        size_t length = 2u + (size_t)file.bytes[i + 2] * 256 + file.bytes[i + 3];
        if (file.bytes[i + 1] == 0xdb) file.bytes[i + 1] = 0xfe; /* tables become a comment */
        i += length;
    }
    check_worker(worker);
    assert_refused(worker, file, "table");
    picture_worker_destroy(worker);
}

/* Bytes behind the picture are none of it: cameras and web servers leave them there. */
static void test_bytes_behind(void **state) {
    (void)state;
    picture_worker_t *worker = picture_worker();
    for (int i = 0; i < WHOLE; i++) {
        picture_file_t file = picture_read(whole[i]);
        file.bytes = realloc(file.bytes, file.size + 100);
        assert_non_null(file.bytes);
        memset(file.bytes + file.size, 'x', 100);
        assert_int_equal(picture_check(worker, file.bytes, file.size + 100), SGP_OK);
        free(file.bytes);
    }
    picture_worker_destroy(worker);
}

static void test_destroy_nothing(void **state) {
    (void)state;
    picture_worker_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_picture),      cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),         cmocka_unit_test(test_damaged_scan),
        cmocka_unit_test(test_too_many_pixels), cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_many_scans),      cmocka_unit_test(test_odd_jpegs),
        cmocka_unit_test(test_missing_tables),  cmocka_unit_test(test_bytes_behind),
        cmocka_unit_test(test_destroy_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
