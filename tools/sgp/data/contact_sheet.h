/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures in rows and columns on one PNG. */
#ifndef SGP_DATA_CONTACT_SHEET_H
#define SGP_DATA_CONTACT_SHEET_H

#include "data/picture/picture_encode.h"

#include <stdbool.h>

typedef struct contact_sheet {
    int columns;
    int width, height, channels; /* of a cell */
    picture_pixels_t pixels;     /* of the sheet */
} contact_sheet_t;

/* cells: pictures, >= 1, of (height, width, channels). false: no memory, or a sheet of more than 65500 pixels a side. */
bool contact_sheet_init(contact_sheet_t *sheet, int cells, int width, int height, int channels);
void contact_sheet_fini(contact_sheet_t *sheet);

/* floats: (height, width, channels), each (byte - mean) / deviation of its channel. */
void contact_sheet_draw(contact_sheet_t *sheet, int cell, const float *floats, const float *mean,
                        const float *deviation);

/* Replaces the file. Returns false after a line. */
bool contact_sheet_write(const contact_sheet_t *sheet, const char *path);

#endif
