/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a file in the safetensors format that may come from anywhere, and be damaged or cut.
 *
 * Opening checks the whole header: its length, its JSON, each tensor's type, shape and place, and
 * that the tensors fill the data without gap or overlap to the file's end. Data are read on demand,
 * straight to the caller's memory.
 *
 * Errors are not logged but written into a text, "PATH: reason": for one caller a damaged file is
 * an error, for another a reason to take an older one. */
#ifndef SGP_FILES_TENSOR_FILE_H
#define SGP_FILES_TENSOR_FILE_H

#include "files/safetensors.h"

#include <jansson.h>

enum {
    TENSOR_FILE_DIMS = 8,          /* dimensions of a tensor, at most */
    TENSOR_FILE_HEADER = 16 << 20, /* bytes of a header, at most: this program's have some KiB */
    TENSOR_FILE_PROBLEM = 640
};

typedef struct tensor_file_entry {
    const char *name; /* owned by the file */
    safetensors_dtype_t dtype;
    int dims;
    int64_t shape[TENSOR_FILE_DIMS]; /* (dims) */
    uint64_t begin, end;             /* bytes, in the data */
} tensor_file_entry_t;

/* Embedded; fields up to `tensors` are for reading, the others private. */
typedef struct tensor_file {
    uint64_t data_bytes;
    size_t count;
    tensor_file_entry_t *tensors; /* (count) in the order of their data */
    char *path;
    int descriptor;
    uint64_t data_start;
    json_t *header;
} tensor_file_t;

/* SGP_ERR_NOT_FOUND: there is no such file. SGP_ERR_IO: it cannot be read. SGP_ERR_FORMAT: it is
 * damaged, or another format. SGP_ERR_NO_MEMORY. On an error there is nothing to close. */
sgp_status_t tensor_file_open(const char *path, tensor_file_t *file,
                              char problem[TENSOR_FILE_PROBLEM]);
void tensor_file_close(tensor_file_t *file);

/* NULL: there is no tensor of that name. */
const tensor_file_entry_t *tensor_file_find(const tensor_file_t *file, const char *name);

/* The text under that key in "__metadata__", or NULL. */
const char *tensor_file_text(const tensor_file_t *file, const char *key);

/* Bytes [begin, begin + count) of the data; they are within data_bytes. SGP_ERR_IO. */
sgp_status_t tensor_file_read(const tensor_file_t *file, uint64_t begin, size_t count, void *bytes,
                              char problem[TENSOR_FILE_PROBLEM]);

/* The part of a file that its hash covers. */
typedef enum tensor_file_cover {
    TENSOR_FILE_NOTHING, /* no hash: of another program, or a model of an earlier version */
    TENSOR_FILE_DATA,    /* a checkpoint of an earlier version */
    TENSOR_FILE_WHOLE    /* a file of safetensors_write */
} tensor_file_cover_t;

/* By the metadata alone; tensor_file_check compares the hash. */
tensor_file_cover_t tensor_file_cover(const tensor_file_t *file);

/* Reads the file and compares it with its hash, if it has one. SGP_ERR_FORMAT: the file is damaged.
 * SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t tensor_file_check(const tensor_file_t *file, char problem[TENSOR_FILE_PROBLEM]);

/* Logs a warning about a file of an earlier version, in which some damage is not detected. */
void tensor_file_note(const tensor_file_t *file);

/* The number of elements. */
static inline uint64_t tensor_file_entry_count(const tensor_file_entry_t *entry) {
    return (entry->end - entry->begin) / safetensors_dtype_bytes(entry->dtype);
}

#endif
