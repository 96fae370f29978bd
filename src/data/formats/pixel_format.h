/* SPDX-License-Identifier: Apache-2.0 */
/* Formats whose samples are pixels, all of one size, and which are read into memory as a whole. dataset.c makes a
 * dataset_t of them, pixel_source.c a source_t. */
#ifndef SGP_DATA_FORMATS_PIXEL_FORMAT_H
#define SGP_DATA_FORMATS_PIXEL_FORMAT_H

#include "data/dataset.h"
#include "data/formats/names.h"

#include <stdbool.h>

/* Errors are those of dataset_load, logged. */
typedef struct pixel_format {
    const char *name;
    bool (*probe)(const char *directory); /* whether one of its files is there */

    /* From the headers or sizes of the files. */
    sgp_status_t (*inspect)(const char *directory, dataset_shape_t *shape);

    /* Fills in shape, train and test, whose arrays are the caller's to free; nothing on failure. */
    sgp_status_t (*load)(const char *directory, dataset_t *dataset);

    /* Appends the names of the classes, as many as the shape says. */
    sgp_status_t (*classes)(const char *directory, const dataset_shape_t *shape, names_t *names);
} pixel_format_t;

#endif
