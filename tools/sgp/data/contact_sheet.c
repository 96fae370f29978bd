/* SPDX-License-Identifier: Apache-2.0 */
#include "data/contact_sheet.h"
#include "cli/message.h"

#include "files/atomic_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 4, WHITE = 255, MOST_SIDE = 65500 }; /* pixels */

bool contact_sheet_init(contact_sheet_t *sheet, int cells, int width, int height, int channels) {
    int columns = 1;
    *sheet = (contact_sheet_t){.width = width, .height = height, .channels = channels};
    while (columns * columns < cells) columns++;
    int rows = (cells + columns - 1) / columns;
    int64_t whole_width = (int64_t)columns * (width + GAP) + GAP;
    int64_t whole_height = (int64_t)rows * (height + GAP) + GAP;
    if ((channels != 1 && channels != 3) || whole_width > MOST_SIDE || whole_height > MOST_SIDE)
        return false;
    size_t bytes = (size_t)whole_width * (size_t)whole_height * (size_t)channels;
    uint8_t *pixels = malloc(bytes);
    if (!pixels) return false;
    memset(pixels, WHITE, bytes);
    sheet->columns = columns;
    sheet->pixels = (picture_pixels_t){pixels, (int)whole_width, (int)whole_height, channels};
    return true;
}

void contact_sheet_fini(contact_sheet_t *sheet) {
    free((void *)sheet->pixels.pixels); /* const for the encoder */
    *sheet = (contact_sheet_t){0};
}

static uint8_t to_byte(float value) {
    return value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)(value + 0.5f);
}

void contact_sheet_draw(contact_sheet_t *sheet, int cell, const float *floats, const float *mean,
                        const float *deviation) {
    size_t channels = (size_t)sheet->channels, width = (size_t)sheet->width;
    size_t left = (size_t)(GAP + cell % sheet->columns * (sheet->width + GAP));
    size_t top = (size_t)(GAP + cell / sheet->columns * (sheet->height + GAP));
    for (size_t y = 0; y < (size_t)sheet->height; y++) {
        uint8_t *row = (uint8_t *)sheet->pixels.pixels +
                       ((top + y) * (size_t)sheet->pixels.width + left) * channels;
        for (size_t i = 0; i < width * channels; i++) {
            size_t c = i % channels;
            row[i] = to_byte(floats[y * width * channels + i] * deviation[c] + mean[c]);
        }
    }
}

bool contact_sheet_write(const contact_sheet_t *sheet, const char *path) {
    char folder[PATH_MAX];
    uint8_t *bytes;
    size_t size;
    const char *slash = strrchr(path, '/');
    if (slash == path) snprintf(folder, sizeof folder, "/");
    else
        snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1,
                 slash ? path : ".");
    if (picture_encode_png(&sheet->pixels, &bytes, &size)) {
        message_error("%s: no memory to encode it", path);
        return false;
    }
    atomic_file_part_t part = {bytes, size};
    bool written = atomic_file_replace(folder, slash ? slash + 1 : path, &part, 1) == SGP_OK;
    free(bytes);
    return written;
}
