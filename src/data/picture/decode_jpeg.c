/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/decode_jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* Each scan of a progressive picture costs a pass over all of it; encoders write about ten. */
enum { MOST_SCANS = 100 };

enum { ROWS = 8 }; /* handed over at a time */

/* Columns beyond those wanted: upsampling chroma reads a neighbour on each side, and treats the
 * first and last column that are decoded as the picture's. */
enum { MARGIN = 2 };

struct decode_jpeg {
    struct jpeg_decompress_struct library;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    sgp_status_t status;
    decode_reason_t *reason;
    void *rows; /* (ROWS, pitch) */
    size_t rows_room;
};

static _Noreturn void leave(decode_jpeg_t *jpeg, sgp_status_t status) {
    jpeg->status = status;
    longjmp(jpeg->failed, 1);
}

static void on_error(j_common_ptr library) {
    decode_jpeg_t *jpeg = library->client_data;
    char text[JMSG_LENGTH_MAX];
    library->err->format_message(library, text);
    bool no_memory = library->err->msg_code == JERR_OUT_OF_MEMORY;
    leave(jpeg, decode_fail(jpeg->reason, no_memory ? SGP_ERR_NO_MEMORY : SGP_ERR_FORMAT,
                            "libjpeg: %s", text));
}

/* Whether a warning means that pixels are not those of the picture. */
static bool is_damage(const struct jpeg_error_mgr *errors) {
    switch (errors->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
        return false;
    case JWRN_EXTRANEOUS_DATA: /* i[1]: the marker; restart markers belong to a scan */
        return errors->msg_parm.i[1] >= 0xd0 && errors->msg_parm.i[1] <= 0xd7;
    default:
        return true;
    }
}

static void on_message(j_common_ptr library, int level) {
    decode_jpeg_t *jpeg = library->client_data;
    if (level >= 0 || !is_damage(library->err)) return;
    if (library->err->msg_code == JWRN_JPEG_EOF || library->err->msg_code == JWRN_HIT_MARKER)
        leave(jpeg, decode_fail(jpeg->reason, SGP_ERR_FORMAT,
                                "it ends in the middle of the picture, or a part is missing"));
    on_error(library);
}

static void on_progress(j_common_ptr library) {
    decode_jpeg_t *jpeg = library->client_data;
    if (jpeg->library.input_scan_number <= MOST_SCANS) return;
    leave(jpeg, decode_fail(jpeg->reason, SGP_ERR_FORMAT, "more than %d scans", MOST_SCANS));
}

sgp_status_t decode_jpeg_create(decode_reason_t *reason, decode_jpeg_t **jpeg) {
    decode_jpeg_t *new = calloc(1, sizeof *new);
    if (!new) return decode_fail(reason, SGP_ERR_NO_MEMORY, "no memory");
    new->reason = reason;
    new->library.err = jpeg_std_error(&new->errors);
    new->errors.error_exit = on_error;
    new->errors.emit_message = on_message;
    new->progress.progress_monitor = on_progress;
    new->library.client_data = new;
    *jpeg = new;
    return SGP_OK;
}

void decode_jpeg_destroy(decode_jpeg_t *jpeg) {
    if (!jpeg) return;
    decode_jpeg_end(jpeg);
    free(jpeg->rows);
    free(jpeg);
}

bool decode_jpeg_is(const uint8_t *bytes, size_t size) {
    return size >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

/* ---- header ---- */

static sgp_status_t check_header(decode_jpeg_t *jpeg) {
    const struct jpeg_decompress_struct *library = &jpeg->library;
    if (library->data_precision != 8)
        return decode_fail(jpeg->reason, SGP_ERR_FORMAT, "%d bits per channel: should be 8",
                           library->data_precision);
    if (library->num_components != 1 && library->num_components != 3 &&
        library->num_components != 4)
        return decode_fail(jpeg->reason, SGP_ERR_FORMAT, "%d channels: should be 1, 3 or 4",
                           library->num_components);
    return decode_check_pixels(jpeg->reason, library->image_width, library->image_height);
}

sgp_status_t decode_jpeg_begin(decode_jpeg_t *jpeg, const uint8_t *bytes, size_t size,
                               picture_info_t *info) {
    struct jpeg_decompress_struct *library = &jpeg->library;
    if (setjmp(jpeg->failed)) return jpeg->status;
    /* A new one for each picture: libjpeg keeps tables, and a picture that lacks one would be decoded
     * with that of another. */
    jpeg_create_decompress(library);
    jpeg_mem_src(library, bytes, size);
    jpeg_read_header(library, TRUE);
    sgp_status_t status = check_header(jpeg);
    if (status) return status;
    *info = (picture_info_t){.jpeg = true,
                             .width = (int)library->image_width,
                             .height = (int)library->image_height,
                             .channels = library->num_components};
    return SGP_OK;
}

void decode_jpeg_end(decode_jpeg_t *jpeg) {
    jpeg_destroy_decompress(&jpeg->library);
}

/* ---- rows ---- */

/* Of libjpeg, for the picture: bands of rows, and all coefficients if there are several scans. */
static uint64_t library_bytes(struct jpeg_decompress_struct *library) {
    uint64_t bytes = (uint64_t)library->image_width * 64;
    if (!jpeg_has_multiple_scans(library)) return bytes;
    for (int i = 0; i < library->num_components; i++) {
        const jpeg_component_info *part = &library->comp_info[i];
        uint64_t wide = part->width_in_blocks + (unsigned)part->h_samp_factor;
        uint64_t high = part->height_in_blocks + (unsigned)part->v_samp_factor;
        bytes += wide * high * sizeof(JBLOCK);
    }
    return bytes;
}

/* PIL's arithmetic: v a / 255, rounded. */
static uint8_t scaled(unsigned v, unsigned a) {
    unsigned product = v * a + 128;
    return (uint8_t)(((product >> 8) + product) >> 8);
}

/* row: (width, 4), in place: inverted CMYK becomes RGB. */
static void convert_cmyk(uint8_t *row, int width) {
    for (int x = 0; x < width; x++) {
        uint8_t *pixel = row + 4 * x, light = pixel[3];
        for (int c = 0; c < 3; c++) pixel[c] = (uint8_t)(light - scaled(255u - pixel[c], light));
    }
}

/* Of the columns those that the request and upsampling need; returns the first of them. */
static int crop_columns(struct jpeg_decompress_struct *library, const decode_request_t *request) {
    /* There libjpeg-turbo 2.1 takes chroma for narrower than it is. */
    if (request->denominator > 1 && library->max_h_samp_factor > 2) return 0;
    int first = request->x > MARGIN ? request->x - MARGIN : 0;
    int end = request->x + request->width + MARGIN;
    if (end > (int)library->output_width) end = (int)library->output_width;
    if (first == 0 && end == (int)library->output_width) return 0;
    JDIMENSION x = (JDIMENSION)first, width = (JDIMENSION)(end - first);
    jpeg_crop_scanline(library, &x, &width);
    return (int)x;
}

static sgp_status_t start(decode_jpeg_t *jpeg, const decode_request_t *request) {
    struct jpeg_decompress_struct *library = &jpeg->library;
    uint64_t bytes = library_bytes(library) + request->other_bytes;
    sgp_status_t status = decode_check_memory(jpeg->reason, bytes, request->most_bytes);
    if (status) return status;
    library->progress = jpeg_has_multiple_scans(library) ? &jpeg->progress : NULL;
    library->scale_num = 1;
    library->scale_denom = (unsigned)request->denominator;
    library->out_color_space = library->num_components == 4 ? JCS_CMYK : JCS_EXT_RGBX;
    jpeg_start_decompress(library);
    return SGP_OK;
}

/* Fills the buffer with `wanted` rows; libjpeg gives one or two at a time. */
static void fill_rows(decode_jpeg_t *jpeg, size_t pitch, int wanted) {
    struct jpeg_decompress_struct *library = &jpeg->library;
    JSAMPROW rows[ROWS];
    for (int i = 0; i < wanted; i++) rows[i] = (JSAMPROW)jpeg->rows + (size_t)i * pitch;
    for (int done = 0; done < wanted;)
        done += (int)jpeg_read_scanlines(library, rows + done, (JDIMENSION)(wanted - done));
    for (int i = 0; i < wanted && library->num_components == 4; i++)
        convert_cmyk(rows[i], (int)library->output_width);
}

/* first: the column at which decoded rows begin. */
static void read_rows(decode_jpeg_t *jpeg, const decode_request_t *request, int first,
                      const decode_sink_t *sink) {
    size_t pitch = (size_t)jpeg->library.output_width * 4 + DECODE_SLACK;
    const uint8_t *rows = (const uint8_t *)jpeg->rows + 4 * (size_t)(request->x - first);
    for (int done = 0; done < request->height;) {
        int left = request->height - done, count = left < ROWS ? left : ROWS;
        fill_rows(jpeg, pitch, count);
        sink->rows(sink->user, rows, pitch, count);
        done += count;
    }
}

sgp_status_t decode_jpeg_rows(decode_jpeg_t *jpeg, const decode_request_t *request,
                              const decode_sink_t *sink) {
    struct jpeg_decompress_struct *library = &jpeg->library;
    if (setjmp(jpeg->failed)) return jpeg->status;
    sgp_status_t status = start(jpeg, request);
    if (status) return status;
    int first = crop_columns(library, request);
    size_t bytes = ROWS * ((size_t)library->output_width * 4 + DECODE_SLACK);
    status = decode_reserve(jpeg->reason, &jpeg->rows, &jpeg->rows_room, bytes);
    if (status) return status;
    if (request->y > 0) jpeg_skip_scanlines(library, (JDIMENSION)request->y);
    read_rows(jpeg, request, first, sink);
    if (request->to_end) jpeg_finish_decompress(library);
    return SGP_OK;
}
