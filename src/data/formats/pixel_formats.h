/* SPDX-License-Identifier: Apache-2.0 */
/* The table of formats with pixels. */
#ifndef SGP_DATA_FORMATS_PIXEL_FORMATS_H
#define SGP_DATA_FORMATS_PIXEL_FORMATS_H

#include "data/formats/pixel_format.h"

/* The first format that fits; NULL: none. */
const pixel_format_t *pixel_formats_find(const char *directory);

#endif
