/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/picture_rescale.h"

#include "data/picture/decode_jpeg.h"
#include "data/picture/decode_png.h"
#include "data/picture/resample.h"

#include <stdlib.h>
#include <string.h>

struct picture_rescale {
    decode_reason_t reason;
    decode_jpeg_t *jpeg;
    decode_png_t *png;
    resample_t resample;
    void *line;  /* one row of pixels that come in, 4 bytes each */
    void *image; /* (height, width, channels) of the result */
    size_t line_room, image_room;
    int width, channels;
};

sgp_status_t picture_rescale_create(picture_rescale_t **rescale) {
    picture_rescale_t *new = calloc(1, sizeof *new);
    if (!new) return SGP_ERR_NO_MEMORY;
    new->resample.kernels = resample_fastest();
    sgp_status_t status = decode_jpeg_create(&new->reason, &new->jpeg);
    if (!status) status = decode_png_create(&new->reason, &new->png);
    if (status) picture_rescale_destroy(new);
    else *rescale = new;
    return status;
}

void picture_rescale_destroy(picture_rescale_t *rescale) {
    if (!rescale) return;
    decode_jpeg_destroy(rescale->jpeg);
    decode_png_destroy(rescale->png);
    resample_fini(&rescale->resample);
    free(rescale->line);
    free(rescale->image);
    free(rescale);
}

const char *picture_rescale_reason(const picture_rescale_t *rescale) {
    return rescale->reason.text;
}

static resample_span_t whole(int inputs, int outputs) {
    return (resample_span_t){.inputs = inputs, .end = inputs, .outputs = outputs, .count = outputs};
}

static void take_resized(void *user, int y, const uint8_t *row) {
    picture_rescale_t *rescale = user;
    size_t channels = (size_t)rescale->channels, width = (size_t)rescale->width;
    uint8_t *out = (uint8_t *)rescale->image + (size_t)y * width * channels;
    for (size_t x = 0; x < width; x++)
        for (size_t c = 0; c < channels; c++) out[x * channels + c] = row[4 * x + c];
}

static void take_decoded(void *user, const uint8_t *rows, size_t pitch, int count) {
    resample_rows(user, rows, pitch, count);
}

/* The size of the result, as torchvision's Resize rounds it, and memory for it. */
static sgp_status_t begin(picture_rescale_t *rescale, int width, int height, int channels, int side,
                          picture_pixels_t *out) {
    int most = width > height ? width : height, least = width > height ? height : width;
    int64_t longer = (int64_t)side * most / least;
    *out = (picture_pixels_t){.channels = channels};
    sgp_status_t status = decode_check_pixels(&rescale->reason, (uint64_t)longer, (uint64_t)side);
    if (status) return status;
    out->width = width > height ? (int)longer : side;
    out->height = width > height ? side : (int)longer;
    rescale->width = out->width;
    rescale->channels = channels;
    status = decode_reserve(&rescale->reason, &rescale->image, &rescale->image_room,
                            (size_t)out->width * (size_t)out->height * (size_t)channels);
    if (status) return status;
    out->pixels = rescale->image;
    resample_span_t columns = whole(width, out->width), rows = whole(height, out->height);
    return resample_begin(&rescale->resample, &columns, &rows,
                          &(resample_sink_t){take_resized, rescale}, &rescale->reason);
}

sgp_status_t picture_rescale_pixels(picture_rescale_t *rescale, const picture_pixels_t *in,
                                    int side, picture_pixels_t *out) {
    picture_pixels_t made;
    size_t channels = (size_t)in->channels, width = (size_t)in->width;
    rescale->reason.text[0] = '\0';
    sgp_status_t status = begin(rescale, in->width, in->height, in->channels, side, &made);
    if (!status)
        status = decode_reserve(&rescale->reason, &rescale->line, &rescale->line_room,
                                width * 4 + DECODE_SLACK);
    if (status) return status;
    uint8_t *line = rescale->line;
    memset(line, 0, width * 4 + DECODE_SLACK);
    for (int y = 0; y < in->height; y++) {
        const uint8_t *row = in->pixels + (size_t)y * width * channels;
        for (size_t x = 0; x < width; x++) memcpy(line + 4 * x, row + x * channels, channels);
        resample_rows(&rescale->resample, line, width * 4, 1);
    }
    *out = made;
    return SGP_OK;
}

/* After begin_file, whatever came of it. */
static void end_file(picture_rescale_t *rescale) {
    decode_jpeg_end(rescale->jpeg);
    decode_png_end(rescale->png);
}

static sgp_status_t begin_file(picture_rescale_t *rescale, const uint8_t *bytes, size_t size,
                               picture_info_t *info) {
    if (decode_jpeg_is(bytes, size)) return decode_jpeg_begin(rescale->jpeg, bytes, size, info);
    if (decode_png_is(bytes, size)) return decode_png_begin(rescale->png, bytes, size, info);
    return decode_fail(&rescale->reason, SGP_ERR_FORMAT,
                       size ? "it is neither JPEG nor PNG" : "it is empty");
}

sgp_status_t picture_rescale_file(picture_rescale_t *rescale, const uint8_t *bytes, size_t size,
                                  int side, picture_pixels_t *out) {
    picture_info_t info;
    picture_pixels_t made = {0};
    rescale->reason.text[0] = '\0';
    sgp_status_t status = begin_file(rescale, bytes, size, &info);
    bool shrinks = !status && info.width > side && info.height > side;
    if (shrinks) status = begin(rescale, info.width, info.height, 3, side, &made);
    if (shrinks && !status) {
        decode_request_t request = {
            .denominator = 1, .width = info.width, .height = info.height, .to_end = true};
        decode_sink_t sink = {take_decoded, &rescale->resample};
        status = info.jpeg ? decode_jpeg_rows(rescale->jpeg, &request, &sink)
                           : decode_png_rows(rescale->png, &request, &sink);
    }
    end_file(rescale);
    if (!status) *out = made;
    return status;
}
