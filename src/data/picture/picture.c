/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/picture.h"

#include "data/picture/crop.h"
#include "data/picture/decode_jpeg.h"
#include "data/picture/decode_png.h"
#include "data/picture/jitter.h"
#include "data/picture/resample.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The destination of the resized rows. */
typedef struct output {
    int size; /* pixels of a side */
    bool flip;
    bool has_jitter;
    jitter_t jitter;
    uint8_t *image; /* (size, size, 4) if there is jitter, which needs all pixels at once */
    float *out;     /* (size, size, 3) */
} output_t;

struct picture_worker {
    size_t most_bytes;
    decode_reason_t reason;
    decode_jpeg_t *jpeg;
    decode_png_t *png;
    resample_t resample;
    void *image; /* of output_t */
    size_t image_room;
    output_t output;
    float table[3][256]; /* value of a byte, normalised */
};

picture_options_t picture_options(int size) {
    return (picture_options_t){
        .size = size,
        .resize = size * 256 / 224,
        .scale_least = 0.08f,
        .scale_most = 1,
        .ratio_least = 3.0f / 4,
        .ratio_most = 4.0f / 3,
        .flip = true,
        .mean = {123.675f, 116.28f, 103.53f},
        .deviation = {58.395f, 57.12f, 57.375f},
    };
}

/* ---- worker ---- */

sgp_status_t picture_worker_create(size_t most_bytes, picture_worker_t **worker) {
    picture_worker_t *new = calloc(1, sizeof *new);
    if (!new) return SGP_ERR_NO_MEMORY;
    new->most_bytes = most_bytes;
    new->resample.kernels = resample_fastest();
    sgp_status_t status = decode_jpeg_create(&new->reason, &new->jpeg);
    if (!status) status = decode_png_create(&new->reason, &new->png);
    if (status) {
        picture_worker_destroy(new);
        return status;
    }
    *worker = new;
    return SGP_OK;
}

void picture_worker_destroy(picture_worker_t *worker) {
    if (!worker) return;
    decode_jpeg_destroy(worker->jpeg);
    decode_png_destroy(worker->png);
    resample_fini(&worker->resample);
    free(worker->image);
    free(worker);
}

const char *picture_reason(const picture_worker_t *worker) {
    return worker->reason.text;
}

/* ---- decoding, whichever format ---- */

/* end follows in any case. */
static sgp_status_t begin(picture_worker_t *worker, const uint8_t *bytes, size_t size,
                          picture_info_t *info) {
    worker->reason.text[0] = '\0';
    if (decode_jpeg_is(bytes, size)) return decode_jpeg_begin(worker->jpeg, bytes, size, info);
    if (decode_png_is(bytes, size)) return decode_png_begin(worker->png, bytes, size, info);
    return decode_fail(&worker->reason, SGP_ERR_FORMAT,
                       size ? "it is neither JPEG nor PNG" : "it is empty");
}

static sgp_status_t decode(picture_worker_t *worker, const picture_info_t *info,
                           const decode_request_t *request, const decode_sink_t *sink) {
    return info->jpeg ? decode_jpeg_rows(worker->jpeg, request, sink)
                      : decode_png_rows(worker->png, request, sink);
}

static void end(picture_worker_t *worker) {
    decode_jpeg_end(worker->jpeg);
    decode_png_end(worker->png);
}

sgp_status_t picture_inspect(picture_worker_t *worker, const uint8_t *bytes, size_t size,
                             picture_info_t *info) {
    picture_info_t found;
    sgp_status_t status = begin(worker, bytes, size, &found);
    end(worker);
    if (!status) *info = found;
    return status;
}

static void ignore_rows(void *user, const uint8_t *rows, size_t pitch, int count) {
    (void)user, (void)rows, (void)pitch, (void)count;
}

sgp_status_t picture_check(picture_worker_t *worker, const uint8_t *bytes, size_t size) {
    picture_info_t info;
    sgp_status_t status = begin(worker, bytes, size, &info);
    if (!status) {
        /* The last row alone: those above it are read, but not transformed. */
        decode_request_t request = {.denominator = 1,
                                    .y = info.height - 1,
                                    .width = info.width,
                                    .height = 1,
                                    .most_bytes = worker->most_bytes,
                                    .to_end = true};
        status = decode(worker, &info, &request, &(decode_sink_t){.rows = ignore_rows});
    }
    end(worker);
    return status;
}

/* ---- resized rows ---- */

static void set_table(picture_worker_t *worker, const picture_options_t *options) {
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            worker->table[c][v] = ((float)v - options->mean[c]) / options->deviation[c];
}

/* row: (size, 4) */
static void normalise(const picture_worker_t *worker, int y, const uint8_t *row) {
    const output_t *output = &worker->output;
    int size = output->size, step = output->flip ? -1 : 1;
    const uint8_t *pixel = output->flip ? row + 4 * (size - 1) : row;
    float *out = output->out + (size_t)y * (size_t)size * 3;
    for (int x = 0; x < size; x++, pixel += 4 * step, out += 3)
        for (int c = 0; c < 3; c++) out[c] = worker->table[c][pixel[c]];
}

static void take_resized(void *user, int y, const uint8_t *row) {
    picture_worker_t *worker = user;
    size_t bytes = (size_t)worker->output.size * 4;
    if (worker->output.has_jitter) memcpy(worker->output.image + (size_t)y * bytes, row, bytes);
    else normalise(worker, y, row);
}

static void take_decoded(void *user, const uint8_t *rows, size_t pitch, int count) {
    resample_rows(user, rows, pitch, count);
}

static void finish_jitter(picture_worker_t *worker) {
    output_t *output = &worker->output;
    size_t size = (size_t)output->size;
    jitter_apply(&output->jitter, size * size, output->image);
    for (int y = 0; y < output->size; y++)
        normalise(worker, y, output->image + (size_t)y * size * 4);
}

/* ---- from a crop to its pixels ---- */

/* How far a JPEG may shrink while it is decoded: the resizing that follows still shrinks it. */
static int denominator_of(const picture_info_t *info, const crop_t *crop) {
    for (int d = 8; d > 1 && info->jpeg; d /= 2)
        if (crop->width / d >= crop->out_width && crop->height / d >= crop->out_height) return d;
    return 1;
}

static int ceil_divide(int a, int b) {
    return a / b + (a % b != 0);
}

/* Of one axis: pixels begin .. begin + length - 1 of the picture; *offset: the scaled pixel from
 * which the span counts. Outside the crop there is nothing, as after PIL's crop. */
static resample_span_t span_of(int begin, int length, int denominator, int outputs, int skip,
                               int count, int *offset) {
    *offset = begin / denominator;
    return (resample_span_t){
        .inputs = ceil_divide(begin + length, denominator) - *offset,
        .begin = (double)begin / denominator - *offset,
        .end = (double)(begin + length) / denominator - *offset,
        .outputs = outputs,
        .skip = skip,
        .count = count,
    };
}

/* Decodes the crop and passes its resized rows to the output. */
static sgp_status_t resize(picture_worker_t *worker, const picture_info_t *info,
                           const crop_t *crop) {
    int denominator = denominator_of(info, crop), size = worker->output.size, x, y;
    resample_span_t columns =
        span_of(crop->x, crop->width, denominator, crop->out_width, crop->out_x, size, &x);
    resample_span_t rows =
        span_of(crop->y, crop->height, denominator, crop->out_height, crop->out_y, size, &y);
    uint64_t bytes = resample_bytes(&columns, &rows);
    sgp_status_t status = decode_check_memory(&worker->reason, bytes, worker->most_bytes);
    if (status) return status;
    resample_t *resample = &worker->resample;
    status = resample_begin(resample, &columns, &rows, &(resample_sink_t){take_resized, worker},
                            &worker->reason);
    if (status) return status;
    decode_request_t request = {
        .denominator = denominator,
        .x = x + resample->columns.first,
        .y = y + resample->rows.first,
        .width = resample->columns.end - resample->columns.first,
        .height = resample->rows.end - resample->rows.first,
        .most_bytes = worker->most_bytes,
        .other_bytes = bytes,
    };
    return decode(worker, info, &request, &(decode_sink_t){take_decoded, resample});
}

static sgp_status_t begin_jitter(picture_worker_t *worker, float strength, sgp_random_t *random) {
    output_t *output = &worker->output;
    size_t size = (size_t)output->size;
    output->has_jitter = true;
    output->jitter = jitter_draw(strength, random);
    sgp_status_t status =
        decode_reserve(&worker->reason, &worker->image, &worker->image_room, size * size * 4);
    output->image = worker->image;
    return status;
}

static sgp_status_t train(picture_worker_t *worker, const picture_options_t *options,
                          const picture_info_t *info, sgp_random_t *random) {
    sgp_status_t status = SGP_OK;
    crop_t crop = crop_random(options, info->width, info->height, random);
    worker->output.flip = options->flip && sgp_random_double(random) < 0.5;
    if (options->jitter > 0) status = begin_jitter(worker, options->jitter, random);
    if (!status) status = resize(worker, info, &crop);
    if (!status && worker->output.has_jitter) finish_jitter(worker);
    return status;
}

sgp_status_t picture_train(picture_worker_t *worker, const picture_options_t *options,
                           const uint8_t *bytes, size_t size, uint64_t random, float *out) {
    picture_info_t info;
    sgp_random_t draws;
    sgp_random_init(&draws, random, 0);
    worker->output = (output_t){.size = options->size, .out = out};
    set_table(worker, options);
    sgp_status_t status = begin(worker, bytes, size, &info);
    if (!status) status = train(worker, options, &info, &draws);
    end(worker);
    return status;
}

sgp_status_t picture_test(picture_worker_t *worker, const picture_options_t *options,
                          const uint8_t *bytes, size_t size, float *out) {
    assert(options->size >= 1 && options->resize >= options->size);
    picture_info_t info;
    worker->output = (output_t){.size = options->size, .out = out};
    set_table(worker, options);
    sgp_status_t status = begin(worker, bytes, size, &info);
    if (!status) {
        crop_t crop = crop_centre(options, info.width, info.height);
        status = resize(worker, &info, &crop);
    }
    end(worker);
    return status;
}
