/* SPDX-License-Identifier: Apache-2.0 */
/* A sample of a source as the bytes of a picture file: copied where it is one of the right size, else encoded as JPEG. */
#ifndef SGP_DATA_RECODE_H
#define SGP_DATA_RECODE_H

#include "data/picture/picture_rescale.h"
#include "data/source.h"

typedef struct recode_options {
    const source_t *source; /* borrowed */
    int resize; /* pixels of the short side: larger pictures shrink, pixels are brought to it; 0: as they are */
    int quality; /* of JPEG */
} recode_options_t;

/* Memory of one thread, reused. Zeros are an empty one. */
typedef struct recode {
    source_buffer_t buffer;
    picture_rescale_t *rescale;
    uint8_t *encoded; /* the last JPEG */
} recode_t;

typedef struct recode_picture {
    const uint8_t *bytes; /* (size) until the next call */
    size_t size;
    const char *ending; /* "jpg" or "png" */
} recode_picture_t;

/* Returns false after a line that names the sample and the reason. */
bool recode_sample(recode_t *recode, const recode_options_t *options, source_split_t split,
                   uint64_t index, recode_picture_t *picture);
void recode_fini(recode_t *recode);

/* The last part of source_name without its ending, as a file name and a key of WebDataset may have it: dots, blanks and
 * the like become "_". Of pixels "". */
enum { RECODE_STEM = 72 };
void recode_stem(const source_t *source, source_split_t split, uint64_t index,
                 char stem[RECODE_STEM]);

#endif
