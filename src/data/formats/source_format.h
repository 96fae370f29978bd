/* SPDX-License-Identifier: Apache-2.0 */
/* The folder data/formats: readers of data formats, one file each. source_formats.c and dataset.c call
 * them; a reader trusts no byte of a file, and knows no other format and no node.
 *
 * This header: what a format of src/data/source.h fills in, and what all sources have in common. */
#ifndef SGP_DATA_FORMATS_SOURCE_FORMAT_H
#define SGP_DATA_FORMATS_SOURCE_FORMAT_H

#include "data/formats/names.h"
#include "data/source.h"

#include <xxhash.h>

/* Bytes of a sample at most: no camera writes such a picture, and a sparse file of a terabyte must not
 * take a terabyte of memory. */
#define SOURCE_MOST_BYTES ((uint64_t)1 << 30)

typedef struct source_format {
    const char *name;   /* "folder" */
    const char *wanted; /* the files that make a directory of this format, for a message */
    bool encoded;       /* source_shape_t.encoded */

    /* Whether the directory looks like one, from the names of files: SGP_OK. SGP_ERR_NOT_FOUND, not logged: it does
     * not. Another error ends the search, and is logged. */
    sgp_status_t (*probe)(const char *directory);

    /* Fills in source->shape, labels, classes, fingerprint and state. Logs the error. The caller calls
     * close after a failure too. */
    sgp_status_t (*open)(const char *directory, source_t *source);

    /* Releases source->state, which may be NULL or half filled in. */
    void (*close)(source_t *source);

    /* As in source.h. will_need: NULL if there is nothing to read ahead. */
    sgp_status_t (*read)(const source_t *source, source_split_t split, uint64_t index,
                         source_buffer_t *buffer);
    void (*sample_name)(const source_t *source, source_split_t split, uint64_t index,
                        char name[SOURCE_NAME_BYTES]);
    void (*will_need)(const source_t *source, source_split_t split, const uint64_t *indices,
                      size_t count);
} source_format_t;

struct source {
    const source_format_t *format;
    source_shape_t shape;
    names_t classes;                 /* (shape.classes) */
    uint16_t *labels[SOURCE_SPLITS]; /* (shape.count) */
    uint64_t fingerprint;
    void *state; /* the format's */
};

/* Makes room for `size` bytes, whose contents are then undefined, and sets buffer->size. SGP_ERR_IO: more than
 * SOURCE_MOST_BYTES. SGP_ERR_NO_MEMORY. Both set buffer->reason, as the next two do. */
sgp_status_t source_buffer_reserve(source_buffer_t *buffer, uint64_t size);

/* Sets buffer->reason; returns status. */
__attribute__((format(printf, 3, 4))) sgp_status_t
source_buffer_fail(source_buffer_t *buffer, sgp_status_t status, const char *format, ...);

/* Reads exactly count bytes at the offset of an open file. SGP_ERR_IO. */
sgp_status_t source_buffer_pread(source_buffer_t *buffer, int file, void *bytes, size_t count,
                                 uint64_t offset);

/* Allocates source->labels[split] for source->shape.count[split]. SGP_ERR_NO_MEMORY, logged with the directory. */
sgp_status_t source_labels_allocate(source_t *source, source_split_t split, const char *directory);

/* The hash that source->fingerprint comes from: begins with the format, shape, classes and labels. Returns NULL
 * when out of memory. End with source_hash_end. */
XXH3_state_t *source_hash_begin(const source_t *source);
uint64_t source_hash_end(XXH3_state_t *state);

#endif
