/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the fuzz targets of pictures: what holds for any bytes, in whatever format. */
#ifndef SGP_TESTS_FUZZ_FUZZ_PICTURE_H
#define SGP_TESTS_FUZZ_FUZZ_PICTURE_H

#include "fuzz.h"

#include "data/picture/picture.h"

enum { PICTURE_MOST_SIZE = 32, PICTURE_MOST_BYTES = 8 << 20 };

enum { PICTURE_FLOATS = PICTURE_MOST_SIZE * PICTURE_MOST_SIZE * 3 };

static inline void fuzz_check_status(const picture_worker_t *worker, sgp_status_t status) {
    FUZZ_CHECK(status == SGP_OK || status == SGP_ERR_FORMAT || status == SGP_ERR_NO_MEMORY);
    FUZZ_CHECK(status == SGP_OK || picture_reason(worker)[0]);
}

/* Levels of 0..255, as the table of normalisation has them. */
static inline void fuzz_check_levels(const float *out, int size) {
    for (int i = 0; i < size * size * 3; i++)
        FUZZ_CHECK(out[i] >= 0 && out[i] <= 255 && out[i] == (float)(int)out[i]);
}

/* random: chooses crop and size of the output, which are the same the second time. A picture that is
 * whole has every crop. */
static inline void fuzz_picture(const uint8_t *bytes, size_t size, unsigned random) {
    static picture_worker_t *worker;
    static float out[PICTURE_FLOATS], again[PICTURE_FLOATS];
    if (!worker) FUZZ_CHECK(picture_worker_create(PICTURE_MOST_BYTES, &worker) == SGP_OK);
    picture_options_t options = picture_options(1 + (int)random % PICTURE_MOST_SIZE);
    options.jitter = random & 1 ? 0.4f : 0;
    for (int c = 0; c < 3; c++) {
        options.mean[c] = 0;
        options.deviation[c] = 1;
    }
    picture_info_t info;
    sgp_status_t seen = picture_inspect(worker, bytes, size, &info);
    fuzz_check_status(worker, seen);
    sgp_status_t whole = picture_check(worker, bytes, size);
    fuzz_check_status(worker, whole);
    FUZZ_CHECK(whole != SGP_OK || seen == SGP_OK);
    sgp_status_t status = picture_train(worker, &options, bytes, size, random, out);
    fuzz_check_status(worker, status);
    FUZZ_CHECK(picture_train(worker, &options, bytes, size, random, again) == status);
    size_t count = (size_t)options.size * (size_t)options.size * 3;
    if (status == SGP_OK) {
        FUZZ_CHECK(memcmp(out, again, count * sizeof *out) == 0);
        fuzz_check_levels(out, options.size);
    }
    if (whole == SGP_OK && seen == SGP_OK && (uint64_t)info.width * (uint64_t)info.height < 10000)
        FUZZ_CHECK(status == SGP_OK);
    status = picture_test(worker, &options, bytes, size, out);
    fuzz_check_status(worker, status);
    if (status == SGP_OK) fuzz_check_levels(out, options.size);
}

#endif
