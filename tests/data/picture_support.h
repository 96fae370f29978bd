/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of data/picture: the pictures of tests/data/pictures (make_pictures.py), and others
 * that libjpeg writes. */
#ifndef SGP_TESTS_DATA_PICTURE_SUPPORT_H
#define SGP_TESTS_DATA_PICTURE_SUPPORT_H

#include "support.h"

#include "base/random.h"
#include "data/picture/picture.h"

#include <jpeglib.h>

typedef struct picture_file {
    uint8_t *bytes; /* (size) exactly, so that a sanitizer sees a read beyond it; free */
    size_t size;
} picture_file_t;

static inline picture_file_t picture_bytes(const void *bytes, size_t size) {
    picture_file_t file = {malloc(size ? size : 1), size};
    assert_non_null(file.bytes);
    if (size) memcpy(file.bytes, bytes, size);
    return file;
}

static inline picture_file_t picture_read(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", SGP_TEST_PICTURES, name);
    size_t size;
    char *bytes = read_whole(path, &size);
    picture_file_t file = picture_bytes(bytes, size);
    free(bytes);
    return file;
}

/* A worker without limit of memory. */
static inline picture_worker_t *picture_worker(void) {
    picture_worker_t *worker = NULL;
    assert_int_equal(picture_worker_create(0, &worker), SGP_OK);
    return worker;
}

/* Whose output is 0..255, the levels of PIL. */
static inline picture_options_t picture_levels(int size) {
    picture_options_t options = picture_options(size);
    for (int c = 0; c < 3; c++) {
        options.mean[c] = 0;
        options.deviation[c] = 1;
    }
    return options;
}

/* How libjpeg writes a picture. */
typedef struct jpeg_kind {
    const char *name;
    int h, v;       /* sampling factors of luma; those of chroma are 1 */
    int components; /* 1, 3 or 4 */
    bool progressive, arithmetic;
    int restart;     /* MCUs between restart markers; 0: none */
    bool many_scans; /* progressive, each coefficient in a scan of its own: 190 in all */
} jpeg_kind_t;

static inline void jpeg_set_scans(struct jpeg_compress_struct *jpeg) {
    static jpeg_scan_info scans[1 + 3 * 63];
    int count = 0;
    scans[count++] = (jpeg_scan_info){.comps_in_scan = 3, .component_index = {0, 1, 2}};
    for (int c = 0; c < 3; c++)
        for (int k = 1; k < 64; k++) scans[count++] = (jpeg_scan_info){1, {c}, k, k, 0, 0};
    jpeg->scan_info = scans;
    jpeg->num_scans = count;
}

static inline void jpeg_set_kind(struct jpeg_compress_struct *jpeg, const jpeg_kind_t *kind) {
    static const J_COLOR_SPACE spaces[] = {0, JCS_GRAYSCALE, 0, JCS_RGB, JCS_CMYK};
    jpeg->input_components = kind->components;
    jpeg->in_color_space = spaces[kind->components];
    jpeg_set_defaults(jpeg);
    if (kind->components == 4) jpeg_set_colorspace(jpeg, JCS_YCCK);
    jpeg_set_quality(jpeg, 90, TRUE);
    jpeg->comp_info[0].h_samp_factor = kind->h;
    jpeg->comp_info[0].v_samp_factor = kind->v;
    if (kind->components == 4) {
        jpeg->comp_info[3].h_samp_factor = kind->h;
        jpeg->comp_info[3].v_samp_factor = kind->v;
    }
    jpeg->arith_code = kind->arithmetic;
    jpeg->restart_interval = (unsigned)kind->restart;
    if (kind->progressive) jpeg_simple_progression(jpeg);
    if (kind->many_scans) jpeg_set_scans(jpeg);
}

/* Waves of growing frequency with some noise: every block differs, chroma as much as luma. */
static inline picture_file_t picture_write_jpeg(const jpeg_kind_t *kind, int width, int height) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg_set_kind(&jpeg, kind);
    jpeg_start_compress(&jpeg, TRUE);
    sgp_random_t random;
    sgp_random_init(&random, (uint64_t)width, (uint64_t)height);
    uint8_t *row = malloc((size_t)width * 4);
    assert_non_null(row);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width * kind->components; x++) {
            int wave = (x * x / 40 + y * y / 30 + x * y / 50) % 256;
            row[x] = (uint8_t)((wave < 128 ? wave : 255 - wave) + sgp_random_below(&random, 128));
        }
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    free(row);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    picture_file_t file = picture_bytes(bytes, size);
    free(bytes);
    return file;
}

#endif
