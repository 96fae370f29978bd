/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/picture_encode.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h> /* for jpeglib.h */
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

enum { MOST_SIDE = 65500 /* JPEG_MAX_DIMENSION */, FIRST_ROOM = 1 << 16 };

/* libjpeg reports an error by a call that must not return. Its own destination in memory would leak then. */
typedef struct encoder {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    jmp_buf failed;
    uint8_t *bytes;
    size_t room;
} encoder_t;

static bool is_valid(const picture_pixels_t *picture) {
    return picture->width >= 1 && picture->width <= MOST_SIDE && picture->height >= 1 &&
           picture->height <= MOST_SIDE && (picture->channels == 1 || picture->channels == 3);
}

_Noreturn static void leave(j_common_ptr jpeg) {
    encoder_t *encoder = jpeg->client_data;
    longjmp(encoder->failed, 1);
}

static void say_nothing(j_common_ptr jpeg, int level) {
    (void)jpeg, (void)level;
}

/* The buffer is full: it doubles. */
static boolean grow(j_compress_ptr jpeg) {
    encoder_t *encoder = jpeg->client_data;
    size_t room = encoder->room ? 2 * encoder->room : FIRST_ROOM;
    uint8_t *bytes = realloc(encoder->bytes, room);
    if (!bytes) longjmp(encoder->failed, 1);
    encoder->destination.next_output_byte = bytes + encoder->room;
    encoder->destination.free_in_buffer = room - encoder->room;
    encoder->bytes = bytes;
    encoder->room = room;
    return TRUE;
}

static void begin(j_compress_ptr jpeg) {
    grow(jpeg);
}

static void end(j_compress_ptr jpeg) {
    (void)jpeg;
}

static void compress(encoder_t *encoder, const picture_pixels_t *picture, int quality) {
    struct jpeg_compress_struct *jpeg = &encoder->jpeg;
    jpeg_create_compress(jpeg);
    jpeg->dest = &encoder->destination;
    jpeg->image_width = (JDIMENSION)picture->width;
    jpeg->image_height = (JDIMENSION)picture->height;
    jpeg->input_components = picture->channels;
    jpeg->in_color_space = picture->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg->optimize_coding = TRUE;
    jpeg_start_compress(jpeg, TRUE);
    size_t row_bytes = (size_t)picture->width * (size_t)picture->channels;
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row = (JSAMPROW)picture->pixels + jpeg->next_scanline * row_bytes;
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
}

sgp_status_t picture_encode_jpeg(const picture_pixels_t *picture, int quality, uint8_t **bytes,
                                 size_t *size) {
    if (!is_valid(picture) || quality < 1 || quality > 100) return SGP_ERR_INVALID;
    encoder_t *encoder = calloc(1, sizeof *encoder);
    if (!encoder) return SGP_ERR_NO_MEMORY;
    encoder->jpeg.err = jpeg_std_error(&encoder->errors);
    encoder->jpeg.client_data = encoder;
    encoder->errors.error_exit = leave;
    encoder->errors.emit_message = say_nothing;
    encoder->destination.init_destination = begin;
    encoder->destination.empty_output_buffer = grow;
    encoder->destination.term_destination = end;
    sgp_status_t status = SGP_ERR_NO_MEMORY; /* the one error that valid pixels can meet */
    if (setjmp(encoder->failed) == 0) {
        compress(encoder, picture, quality);
        *bytes = encoder->bytes;
        *size = encoder->room - encoder->destination.free_in_buffer;
        status = SGP_OK;
    }
    if (status) free(encoder->bytes);
    jpeg_destroy_compress(&encoder->jpeg);
    free(encoder);
    return status;
}

sgp_status_t picture_encode_png(const picture_pixels_t *picture, uint8_t **bytes, size_t *size) {
    if (!is_valid(picture)) return SGP_ERR_INVALID;
    png_image png;
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    png.width = (png_uint_32)picture->width;
    png.height = (png_uint_32)picture->height;
    png.format = picture->channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    png_alloc_size_t room = PNG_IMAGE_PNG_SIZE_MAX(png);
    uint8_t *memory = malloc(room);
    if (!memory) return SGP_ERR_NO_MEMORY;
    int written = png_image_write_to_memory(&png, memory, &room, 0, picture->pixels, 0, NULL);
    png_image_free(&png);
    if (!written) {
        free(memory);
        return SGP_ERR_NO_MEMORY;
    }
    *bytes = memory;
    *size = room;
    return SGP_OK;
}
