/* SPDX-License-Identifier: Apache-2.0 */
/* A labelled image data set on disk, whatever its format: the contract between the formats of
 * data/formats, which read it, and the loader and the picture pipeline, which make batches of it. A
 * source knows no node and no augmentation, and reads no sample that is not asked for.
 *
 * Each split is an array of samples; a sample's index is its address and never changes while the
 * files do not. Formats are tried in the order of source_formats.c. Immutable once open: any number
 * of threads may call source_read. */
#ifndef SGP_DATA_SOURCE_H
#define SGP_DATA_SOURCE_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct source source_t;

typedef enum source_split { SOURCE_TRAIN, SOURCE_TEST, SOURCE_SPLITS } source_split_t;

enum { SOURCE_MAX_CLASSES = 65536, SOURCE_NAME_BYTES = 512, SOURCE_REASON_BYTES = 160 };

typedef struct source_shape {
    bool encoded; /* samples are JPEG or PNG files of any size; else pixels, all of one size */
    int height;   /* pixels; 0 if encoded */
    int width;    /* pixels; 0 if encoded */
    int channels; /* of pixels; 3 if encoded */
    int classes;
    uint64_t count[SOURCE_SPLITS]; /* samples, >= 1 */
} source_shape_t;

/* A sample's bytes, in memory of the caller that grows as needed. Zeros are an empty one. */
typedef struct source_buffer {
    uint8_t *bytes; /* (size) a whole JPEG or PNG file, or (height, width, channels) pixels */
    size_t size, room;
    /* Why the last source_read failed, a clause: "cannot be opened: Permission denied". */
    char reason[SOURCE_REASON_BYTES];
} source_buffer_t;

/* Which format the data have, and whether their samples are JPEG or PNG files, from the names of
 * files alone. data, errors: as for source_open. */
sgp_status_t source_find(const char *data, const char **format, bool *encoded);

/* data: the name of a known data set ("fashion-mnist"), or a path. Reads what tells the shape, the
 * labels and the samples' places. Sets *source only on success.
 * SGP_ERR_NOT_FOUND: no such path, or no format fits it (the log says what was looked for).
 * SGP_ERR_IO, SGP_ERR_FORMAT: the log names the file, the value found and the value expected.
 * SGP_ERR_NO_MEMORY. */
sgp_status_t source_open(const char *data, source_t **source);
void source_close(source_t *source); /* NULL is fine */

const source_shape_t *source_shape(const source_t *source);
const char *source_format(const source_t *source); /* "folder", "shards", "idx", ... */
const char *source_class_name(const source_t *source, int class); /* 0 <= class < classes */

/* From memory. index < count[split]. */
uint32_t source_label(const source_t *source, source_split_t split, uint64_t index);

/* Reads one sample. SGP_ERR_IO: it cannot be read, or its file has changed since source_open;
 * buffer->reason tells why and nothing is logged, since the caller knows what follows from it.
 * SGP_ERR_NO_MEMORY. */
sgp_status_t source_read(const source_t *source, source_split_t split, uint64_t index,
                         source_buffer_t *buffer);
void source_buffer_fini(source_buffer_t *buffer);

/* Where a sample comes from, for messages: "train/n01440764/x.JPEG", "train-000003.tar:x.jpg". */
void source_name(const source_t *source, source_split_t split, uint64_t index,
                 char name[SOURCE_NAME_BYTES]);

/* Asks the system to read samples ahead; a hint. indices: (count). */
void source_will_need(const source_t *source, source_split_t split, const uint64_t *indices,
                      size_t count);

/* XXH3 of shape, class names, labels, and of the samples' names (folder), headers (shards) or pixels:
 * equal where two nodes have the same files. A folder's files are not asked for their sizes, which would
 * take minutes for a million files on a network file system. */
uint64_t source_fingerprint(const source_t *source);

#endif
