/* SPDX-License-Identifier: Apache-2.0 */
/* Resizes a stream of rows: rows come in from the top, and an output row goes out as soon as its
 * inputs are there. Only as many rows are kept as one output needs. */
#ifndef SGP_DATA_PICTURE_RESAMPLE_H
#define SGP_DATA_PICTURE_RESAMPLE_H

#include "data/picture/resample_kernels.h"

typedef struct resample_sink {
    void (*row)(void *user, int y, const uint8_t *row); /* row: (columns, 4); during the call */
    void *user;
} resample_sink_t;

/* Zeros are an empty one, but for the kernels. */
typedef struct resample {
    const resample_kernels_t *kernels;
    resample_axis_t columns, rows;
    resample_sink_t sink;
    int pitch;    /* bytes of a row, padded */
    void *kept;   /* (rows.most + 1, pitch) the last rows, after the pass over columns */
    void *window; /* (rows.most) pointers to the rows of one output */
    void *line;   /* (pitch) */
    size_t kept_room, window_room, line_room;
    int taken, given; /* rows so far */
} resample_t;

uint64_t resample_bytes(const resample_span_t *columns, const resample_span_t *rows);

/* Then the caller passes rows.end - rows.first rows of columns.end - columns.first pixels.
 * SGP_ERR_NO_MEMORY. */
sgp_status_t resample_begin(resample_t *resample, const resample_span_t *columns,
                            const resample_span_t *rows, const resample_sink_t *sink,
                            decode_reason_t *reason);
/* The next rows: (count, pitch) bytes, each with (columns.end - columns.first, 4), readable
 * DECODE_SLACK bytes further. */
void resample_rows(resample_t *resample, const uint8_t *rows, size_t pitch, int count);
void resample_fini(resample_t *resample);

#endif
