/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the decoders of JPEG and PNG: which rows of a picture are wanted, where they go, and
 * why a picture is refused. */
#ifndef SGP_DATA_PICTURE_DECODE_H
#define SGP_DATA_PICTURE_DECODE_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes behind a row that may be read; their values do not matter. */
enum { DECODE_SLACK = 32 };

typedef struct decode_request {
    int denominator;         /* of the scale: 1, 2, 4 or 8; PNG: 1 */
    int x, y, width, height; /* pixels of the scaled picture, within it */
    size_t most_bytes;       /* of memory; 0: no limit */
    uint64_t other_bytes;    /* that the caller has taken of it */
    bool to_end;             /* read on behind the last row, which is wanted then, to see whether
                              * the file is whole */
} decode_request_t;

typedef struct decode_sink {
    /* Called for all rows, from the top, some at a time. rows: (count, pitch) bytes, each with
     * (width, 4) red, green, blue, undefined, readable DECODE_SLACK bytes further; valid during the
     * call. */
    void (*rows)(void *user, const uint8_t *rows, size_t pitch, int count);
    void *user;
} decode_sink_t;

typedef struct decode_reason {
    char text[160]; /* a clause without names */
} decode_reason_t;

/* Sets the reason and returns the status. */
__attribute__((format(printf, 3, 4))) sgp_status_t
decode_fail(decode_reason_t *reason, sgp_status_t status, const char *format, ...);

/* SGP_ERR_FORMAT for a picture of no pixels, or of too many. */
sgp_status_t decode_check_pixels(decode_reason_t *reason, uint64_t width, uint64_t height);

/* SGP_ERR_FORMAT if bytes exceeds most, unless most is 0. */
sgp_status_t decode_check_memory(decode_reason_t *reason, uint64_t bytes, size_t most);

/* Grows *memory to at least `bytes`, whose contents are undefined then. SGP_ERR_NO_MEMORY. */
sgp_status_t decode_reserve(decode_reason_t *reason, void **memory, size_t *room, size_t bytes);

#endif
