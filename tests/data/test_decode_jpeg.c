/* SPDX-License-Identifier: Apache-2.0 */
/* A part of a JPEG has the pixels of the whole: every subsampling, scale, kind of coding, and
 * rectangles at and beside the borders of blocks. The whole is libjpeg's own, by its plainest calls. */
#include "picture_support.h"

#include "data/picture/decode_jpeg.h"

static const jpeg_kind_t kinds[] = {
    {.name = "grey", .h = 1, .v = 1, .components = 1},
    {.name = "4:4:4", .h = 1, .v = 1, .components = 3},
    {.name = "4:2:2", .h = 2, .v = 1, .components = 3},
    {.name = "4:4:0", .h = 1, .v = 2, .components = 3},
    {.name = "4:2:0", .h = 2, .v = 2, .components = 3},
    {.name = "4:1:1", .h = 4, .v = 1, .components = 3},
    {.name = "4:1:0", .h = 4, .v = 2, .components = 3},
    {.name = "4:2:0, restarts", .h = 2, .v = 2, .components = 3, .restart = 2},
    {.name = "4:2:0, progressive", .h = 2, .v = 2, .components = 3, .progressive = true},
    {.name = "4:2:2, arithmetic", .h = 2, .v = 1, .components = 3, .arithmetic = true},
    {.name = "YCCK, 4:2:0", .h = 2, .v = 2, .components = 4},
    {.name = "YCCK, progressive", .h = 1, .v = 1, .components = 4, .progressive = true},
};

typedef struct image {
    int width, height;
    uint8_t *pixels; /* (height, width, 4) */
} image_t;

static image_t image_of(int width, int height) {
    image_t image = {width, height, calloc((size_t)width * (size_t)height, 4)};
    assert_non_null(image.pixels);
    return image;
}

static image_t whole_of(const picture_file_t *file, int denominator) {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, file->bytes, file->size);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.scale_num = 1;
    jpeg.scale_denom = (unsigned)denominator;
    jpeg.out_color_space = jpeg.num_components == 4 ? JCS_CMYK : JCS_EXT_RGBX;
    jpeg_start_decompress(&jpeg);
    image_t image = image_of((int)jpeg.output_width, (int)jpeg.output_height);
    while (jpeg.output_scanline < jpeg.output_height) {
        JSAMPROW row = image.pixels + (size_t)jpeg.output_scanline * jpeg.output_width * 4;
        jpeg_read_scanlines(&jpeg, &row, 1);
    }
    /* Inverted CMYK: a colour is its own ink's share of the light that black leaves. */
    for (int i = 0; i < image.width * image.height && jpeg.num_components == 4; i++)
        for (int c = 0; c < 3; c++) {
            uint8_t *pixel = image.pixels + 4 * i;
            int ink = 255 - pixel[c], light = pixel[3];
            pixel[c] = (uint8_t)(light - (2 * ink * light + 255) / 510);
        }
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return image;
}

typedef struct part {
    const image_t *whole;
    const decode_request_t *request;
    int rows;
    bool equal;
} part_t;

static void compare_rows(void *user, const uint8_t *rows, size_t pitch, int count) {
    part_t *part = user;
    for (int i = 0; i < count; i++, part->rows++) {
        const uint8_t *row = rows + (size_t)i * pitch;
        size_t at = (size_t)(part->request->y + part->rows) * (size_t)part->whole->width;
        const uint8_t *expected = part->whole->pixels + 4 * (at + (size_t)part->request->x);
        for (int x = 0; x < part->request->width; x++)
            part->equal &= memcmp(row + 4 * x, expected + 4 * x, 3) == 0;
    }
}

static void check_part(decode_jpeg_t *jpeg, const decode_reason_t *reason, const char *name,
                       const picture_file_t *file, const image_t *whole,
                       const decode_request_t *request) {
    picture_info_t info;
    part_t part = {.whole = whole, .request = request, .equal = true};
    sgp_status_t status = decode_jpeg_begin(jpeg, file->bytes, file->size, &info);
    if (!status) status = decode_jpeg_rows(jpeg, request, &(decode_sink_t){compare_rows, &part});
    decode_jpeg_end(jpeg);
    if (!status && part.rows == request->height && part.equal) return;
    fail_msg("%s, 1/%d, %d x %d at (%d, %d) of %d x %d: %s", name, request->denominator,
             request->width, request->height, request->x, request->y, whole->width, whole->height,
             status ? reason->text : "other pixels");
}

/* A length and a place that are near blocks' borders as often as not. */
static int draw(sgp_random_t *random, int least, int most) {
    int value = least + (int)sgp_random_below(random, (uint64_t)(most - least + 1));
    if (sgp_random_below(random, 2)) value = value / 16 * 16 + (int)sgp_random_below(random, 3) - 1;
    return value < least ? least : value > most ? most : value;
}

static void check_kind(const jpeg_kind_t *kind, int width, int height, int parts) {
    decode_reason_t reason = {""};
    decode_jpeg_t *jpeg = NULL;
    assert_int_equal(decode_jpeg_create(&reason, &jpeg), SGP_OK);
    picture_file_t file = picture_write_jpeg(kind, width, height);
    sgp_random_t random;
    sgp_random_init(&random, 1, (uint64_t)width);
    for (int denominator = 1; denominator <= 8; denominator *= 2) {
        image_t whole = whole_of(&file, denominator);
        for (int i = 0; i < parts; i++) {
            decode_request_t request = {.denominator = denominator};
            request.x = draw(&random, 0, whole.width - 1);
            request.y = draw(&random, 0, whole.height - 1);
            request.width = draw(&random, 1, whole.width - request.x);
            request.height = draw(&random, 1, whole.height - request.y);
            request.to_end = request.y + request.height == whole.height;
            check_part(jpeg, &reason, kind->name, &file, &whole, &request);
        }
        free(whole.pixels);
    }
    free(file.bytes);
    decode_jpeg_destroy(jpeg);
}

static void test_parts_equal_the_whole(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) check_kind(&kinds[i], 203, 117, 60);
}

static void test_small_pictures(void **state) {
    (void)state;
    static const int sides[][2] = {{1, 1}, {2, 1}, {1, 3}, {7, 9}, {16, 16}, {17, 33}, {40, 5}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (size_t j = 0; j < sizeof sides / sizeof *sides; j++)
            check_kind(&kinds[i], sides[j][0], sides[j][1], 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_equal_the_whole),
        cmocka_unit_test(test_small_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
