/* SPDX-License-Identifier: Apache-2.0 */
/* A plain reader of safetensors files, from the format's description alone. */
#ifndef SGP_TESTS_FILES_SAFETENSORS_READER_H
#define SGP_TESTS_FILES_SAFETENSORS_READER_H

#include "data/support.h"

#include <jansson.h>

typedef struct safetensors_file {
    char *bytes;
    size_t header_bytes;
    json_t *header;
    const char *data;
    size_t data_bytes;
} safetensors_file_t;

static inline safetensors_file_t safetensors_open(const char *path) {
    safetensors_file_t file;
    size_t count;
    file.bytes = read_whole(path, &count);
    assert_true(count >= 8);
    file.header_bytes = 0;
    for (int i = 7; i >= 0; i--)
        file.header_bytes = file.header_bytes << 8 | (uint8_t)file.bytes[i];
    assert_true(file.header_bytes <= count - 8);
    assert_int_equal(file.bytes[8], '{');
    file.header = json_loadb(file.bytes + 8, file.header_bytes, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(file.header);
    file.data = file.bytes + 8 + file.header_bytes;
    file.data_bytes = count - 8 - file.header_bytes;
    return file;
}

static inline void safetensors_close(safetensors_file_t *file) {
    json_decref(file->header);
    free(file->bytes);
}

/* The tensor's values, (count), after its entry has been checked against itself. */
static inline const float *safetensors_find(const safetensors_file_t *file, const char *name,
                                            size_t *count) {
    json_t *entry = json_object_get(file->header, name), *shape, *size;
    const char *dtype;
    json_int_t begin, end;
    size_t index;
    assert_int_equal(json_unpack(entry, "{s:s, s:o, s:[I, I]!}", "dtype", &dtype, "shape", &shape,
                                 "data_offsets", &begin, &end),
                     0);
    assert_string_equal(dtype, "F32");
    *count = 1;
    json_array_foreach(shape, index, size) *count *= (size_t)json_integer_value(size);
    assert_true(begin >= 0 && end <= (json_int_t)file->data_bytes);
    assert_int_equal(end - begin, 4 * *count);
    return (const float *)(file->data + begin);
}

#endif
