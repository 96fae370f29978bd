/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation while a source is opened or read fails once, and while pictures are encoded. */
#include "failing_alloc.h"
#include "shard_support.h"

#include "data/picture/picture_rescale.h"

static char directory[64];

static int set_up(void **state) {
    (void)state;
    make_directory(directory);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_directory(directory);
    return 0;
}

/* Opens and reads; an opened source is the same as ever. */
static void fail_each(void) {
    source_t *whole = open_source(directory);
    uint64_t fingerprint = source_fingerprint(whole);
    /* The C library works without memory for the buffer of a file, but not for the file itself. */
    failing_t failing = {.may_pass = true, .also = SGP_ERR_IO};
    while (failing_round(&failing)) {
        source_t *source = NULL;
        sgp_status_t status = FAILING(&failing, source_open(directory, &source));
        assert_true((status == SGP_OK) == (source != NULL));
        if (source) assert_true(source_fingerprint(source) == fingerprint);
        source_close(source);
    }
    assert_true(failing.round > 4);
    failing = (failing_t){.unlogged = true};
    while (failing_round(&failing)) {
        source_buffer_t buffer = {0};
        if (FAILING(&failing, source_read(whole, SOURCE_TRAIN, 1, &buffer)))
            assert_non_null(strstr(buffer.reason, "no memory"));
        source_buffer_fini(&buffer);
    }
    source_close(whole);
}

static void folder(void **state) {
    (void)state;
    put(directory, "train/a/1.jpg", "1");
    put(directory, "train/a/more/2.jpg", "2");
    put(directory, "train/b/3.jpg", "3");
    put(directory, "val/a/4.jpg", "4");
    put(directory, "val/b/5.jpg", "5");
    fail_each();
}

static void put_shard(const char *name) {
    tar_file_t tar = {0};
    for (char key[] = "a.jpg"; *key < 'd'; ++*key) {
        char label[] = "a.cls";
        *label = *key;
        tar_add(&tar, key, "picture");
        tar_add(&tar, label, "1");
    }
    tar_add_end(&tar);
    tar_put(&tar, directory, name);
}

static void shards(void **state) {
    (void)state;
    put_shard("train-000000.tar");
    put_shard("train-000001.tar");
    put_shard("val-000000.tar");
    put(directory, "classes.txt", "x\ny\n");
    fail_each();
}

static void pixels(void **state) {
    (void)state;
    write_dataset(directory, 20, 10, 12);
    put(directory, "classes.txt", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    fail_each();
}

static void encoding(void **state) {
    (void)state;
    enum { SIDE = 300 };
    uint8_t *noise = malloc(SIDE * SIDE * 3);
    assert_non_null(noise);
    for (uint32_t i = 0, next = 1; i < SIDE * SIDE * 3; i++)
        noise[i] = (uint8_t)((next = next * 1664525u + 1013904223u) >> 24);
    picture_pixels_t picture = {noise, SIDE, SIDE, 3};
    for (int png = 0; png < 2; png++) {
        failing_t failing = {.unlogged = true, .may_pass = true}; /* libjpeg asks again, for less */
        while (failing_round(&failing)) {
            uint8_t *bytes = NULL;
            size_t size;
            sgp_status_t status =
                FAILING(&failing, png ? picture_encode_png(&picture, &bytes, &size)
                                      : picture_encode_jpeg(&picture, 100, &bytes, &size));
            assert_true((status == SGP_OK) == (bytes != NULL));
            free(bytes);
        }
        assert_true(failing.round > 3);
    }
    free(noise);
}

static void rescaling(void **state) {
    (void)state;
    static const uint8_t grey[40 * 30];
    picture_pixels_t in = {grey, 40, 30, 1}, out;
    uint8_t *jpeg;
    size_t size;
    assert_int_equal(picture_encode_jpeg(&in, 90, &jpeg, &size), SGP_OK);
    failing_t failing = {.unlogged = true, .may_pass = true};
    while (failing_round(&failing)) {
        picture_rescale_t *rescale = NULL;
        if (FAILING(&failing, picture_rescale_create(&rescale)) == SGP_OK &&
            FAILING(&failing, picture_rescale_pixels(rescale, &in, 50, &out)) == SGP_OK)
            (void)FAILING(&failing, picture_rescale_file(rescale, jpeg, size, 20, &out));
        picture_rescale_destroy(rescale);
    }
    free(jpeg);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(folder), TEST(shards), TEST(pixels), TEST(encoding), TEST(rescaling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
