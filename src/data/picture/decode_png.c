/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/decode_png.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

struct decode_png {
    png_structp library;
    png_infop header;
    jmp_buf failed;
    bool no_memory; /* an allocation of the library has failed */
    decode_reason_t *reason;
    const uint8_t *bytes; /* (left) not yet read */
    size_t left;
    bool deep_grey; /* rows are grey of 16 bits, big-endian */
    void *row;      /* one row */
    size_t row_room;
    uint8_t *picture; /* all rows, of an interlaced picture */
    png_bytep *rows;  /* (height) into it */
};

/* ---- what libpng calls ---- */

static _Noreturn void on_error(png_structp library, png_const_charp text) {
    decode_png_t *png = png_get_error_ptr(library);
    if (png->no_memory) decode_fail(png->reason, SGP_ERR_NO_MEMORY, "no memory");
    else decode_fail(png->reason, SGP_ERR_FORMAT, "%s", text);
    longjmp(png->failed, 1);
}

static void on_warning(png_structp library, png_const_charp text) {
    (void)library, (void)text;
}

static png_voidp on_malloc(png_structp library, png_alloc_size_t bytes) {
    decode_png_t *png = png_get_mem_ptr(library);
    void *memory = malloc(bytes);
    if (!memory) png->no_memory = true;
    return memory;
}

static void on_free(png_structp library, png_voidp memory) {
    (void)library;
    free(memory);
}

static void on_read(png_structp library, png_bytep to, size_t count) {
    decode_png_t *png = png_get_io_ptr(library);
    if (count > png->left) png_error(library, "it ends in the middle of the picture");
    memcpy(to, png->bytes, count);
    png->bytes += count;
    png->left -= count;
}

/* ---- header ---- */

sgp_status_t decode_png_create(decode_reason_t *reason, decode_png_t **png) {
    decode_png_t *new = calloc(1, sizeof *new);
    if (!new) return decode_fail(reason, SGP_ERR_NO_MEMORY, "no memory");
    new->reason = reason;
    *png = new;
    return SGP_OK;
}

void decode_png_destroy(decode_png_t *png) {
    if (!png) return;
    decode_png_end(png);
    free(png->row);
    free(png);
}

bool decode_png_is(const uint8_t *bytes, size_t size) {
    return size >= 8 && png_sig_cmp(bytes, 0, 8) == 0;
}

static sgp_status_t failure(const decode_png_t *png) {
    return png->no_memory ? SGP_ERR_NO_MEMORY : SGP_ERR_FORMAT;
}

static void open_library(decode_png_t *png) {
    png->library = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, png, on_error, on_warning, png,
                                            on_malloc, on_free);
    if (png->library) png->header = png_create_info_struct(png->library);
    if (!png->header) {
        png->no_memory = true;
        decode_fail(png->reason, SGP_ERR_NO_MEMORY, "no memory");
        longjmp(png->failed, 1);
    }
    png_set_read_fn(png->library, png, on_read);
    png_set_user_limits(png->library, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours comes next */
    /* Profiles, texts and times, which may be large, are passed over. */
    png_set_keep_unknown_chunks(png->library, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
}

sgp_status_t decode_png_begin(decode_png_t *png, const uint8_t *bytes, size_t size,
                              picture_info_t *info) {
    png->bytes = bytes;
    png->left = size;
    png->no_memory = false;
    if (setjmp(png->failed)) return failure(png);
    open_library(png);
    png_read_info(png->library, png->header);
    png_uint_32 width = png_get_image_width(png->library, png->header);
    png_uint_32 height = png_get_image_height(png->library, png->header);
    sgp_status_t status = decode_check_pixels(png->reason, width, height);
    if (status) return status;
    *info = (picture_info_t){.width = (int)width,
                             .height = (int)height,
                             .channels = png_get_channels(png->library, png->header)};
    return SGP_OK;
}

void decode_png_end(decode_png_t *png) {
    if (png->library) png_destroy_read_struct(&png->library, &png->header, NULL);
    free(png->picture);
    free(png->rows);
    png->picture = NULL;
    png->rows = NULL;
}

/* ---- rows ---- */

/* Rows become (width, 4) bytes, but for grey of 16 bits. */
static void set_transforms(decode_png_t *png) {
    int color = png_get_color_type(png->library, png->header);
    png->deep_grey =
        color == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png->library, png->header) == 16;
    if (png->deep_grey) return;
    if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png->library);
    if (color == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png->library);
    png_set_strip_16(png->library);
    png_set_strip_alpha(png->library);
    png_set_gray_to_rgb(png->library);
    png_set_filler(png->library, 0xff, PNG_FILLER_AFTER);
}

/* row: (width, 2) becomes (width, 4), from its end, so that nothing is overwritten unread. */
static void convert_deep_grey(uint8_t *row, int width) {
    for (int x = width - 1; x >= 0; x--) {
        uint8_t value = row[2 * x] ? 255 : row[2 * x + 1];
        memset(row + 4 * x, value, 4);
    }
}

static void hand_over(const decode_png_t *png, const decode_request_t *request, uint8_t *row,
                      const decode_sink_t *sink) {
    if (png->deep_grey) convert_deep_grey(row, (int)png_get_image_width(png->library, png->header));
    sink->rows(sink->user, row + 4 * (size_t)request->x, 0, 1);
}

static void read_in_order(decode_png_t *png, const decode_request_t *request,
                          const decode_sink_t *sink) {
    int end = request->y + request->height;
    for (int y = 0; y < end; y++) {
        png_read_row(png->library, png->row, NULL);
        if (y >= request->y) hand_over(png, request, png->row, sink);
    }
}

/* Interlaced: the last pass touches every other row, so all rows are needed at once. */
static sgp_status_t read_interlaced(decode_png_t *png, const decode_request_t *request,
                                    const decode_sink_t *sink) {
    size_t height = png_get_image_height(png->library, png->header);
    size_t pitch = png_get_rowbytes(png->library, png->header);
    png->picture = malloc(height * pitch);
    png->rows = malloc(height * sizeof *png->rows);
    if (!png->picture || !png->rows)
        return decode_fail(png->reason, SGP_ERR_NO_MEMORY, "no memory");
    for (size_t y = 0; y < height; y++) png->rows[y] = png->picture + y * pitch;
    png_read_image(png->library, png->rows);
    for (int y = request->y; y < request->y + request->height; y++) {
        memcpy(png->row, png->rows[y], pitch);
        hand_over(png, request, png->row, sink);
    }
    return SGP_OK;
}

static sgp_status_t prepare(decode_png_t *png, const decode_request_t *request) {
    uint64_t width = png_get_image_width(png->library, png->header);
    uint64_t height = png_get_image_height(png->library, png->header);
    bool interlaced = png_get_interlace_type(png->library, png->header) != PNG_INTERLACE_NONE;
    uint64_t row = width * 4 + DECODE_SLACK;
    /* libpng has two rows of up to 8 bytes a pixel. */
    uint64_t bytes = row + width * 16 + (interlaced ? height * (width * 4 + sizeof(void *)) : 0);
    bytes += request->other_bytes;
    sgp_status_t status = decode_check_memory(png->reason, bytes, request->most_bytes);
    return status ? status : decode_reserve(png->reason, &png->row, &png->row_room, row);
}

sgp_status_t decode_png_rows(decode_png_t *png, const decode_request_t *request,
                             const decode_sink_t *sink) {
    if (setjmp(png->failed)) return failure(png);
    sgp_status_t status = prepare(png, request);
    if (status) return status;
    set_transforms(png);
    bool interlaced = png_set_interlace_handling(png->library) > 1;
    png_read_update_info(png->library, png->header);
    if (interlaced) status = read_interlaced(png, request, sink);
    else read_in_order(png, request, sink);
    if (!status && request->to_end) png_read_end(png->library, NULL);
    return status;
}
