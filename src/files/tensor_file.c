/* SPDX-License-Identifier: Apache-2.0 */
#include "files/tensor_file.h"

#include "base/logging.h"
#include "base/regular.h"
#include "files/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define METADATA     "__metadata__"
#define OLD_HASH     "hash" /* of the data alone, in checkpoints of earlier versions */
#define LENGTH_BYTES 8
#define BLOCK_BYTES  ((size_t)1 << 20)

__attribute__((format(printf, 4, 5))) static sgp_status_t
say(sgp_status_t status, const tensor_file_t *file, char *problem, const char *format, ...) {
    va_list arguments;
    int length = snprintf(problem, TENSOR_FILE_PROBLEM, "%.300s: ", file->path);
    va_start(arguments, format);
    vsnprintf(problem + length, (size_t)(TENSOR_FILE_PROBLEM - length), format, arguments);
    va_end(arguments);
    return status;
}

/* ---- bytes ---- */

static sgp_status_t read_at(const tensor_file_t *file, uint64_t place, size_t count, void *bytes,
                            char *problem) {
    uint8_t *next = bytes;
    while (count > 0) {
        ssize_t got =
            pread(file->descriptor, next, count < BLOCK_BYTES ? count : BLOCK_BYTES, (off_t)place);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return say(SGP_ERR_IO, file, problem, "cannot be read: %s", strerror(errno));
        if (got == 0) return say(SGP_ERR_IO, file, problem, "became shorter while it was read");
        next += got;
        place += (uint64_t)got;
        count -= (size_t)got;
    }
    return SGP_OK;
}

sgp_status_t tensor_file_read(const tensor_file_t *file, uint64_t begin, size_t count, void *bytes,
                              char problem[TENSOR_FILE_PROBLEM]) {
    return read_at(file, file->data_start + begin, count, bytes, problem);
}

static sgp_status_t open_it(tensor_file_t *file, uint64_t *size, char *problem) {
    struct stat found;
    char reason[SGP_REGULAR_PROBLEM];
    sgp_status_t status = sgp_regular_open(file->path, &file->descriptor, reason);
    if (status) return say(status, file, problem, "%s", reason);
    if (fstat(file->descriptor, &found) != 0)
        return say(SGP_ERR_IO, file, problem, "cannot be read: %s", strerror(errno));
    *size = (uint64_t)found.st_size;
    return SGP_OK;
}

/* ---- the header ---- */

static sgp_status_t parse_header(tensor_file_t *file, const char *text, size_t length,
                                 char *problem) {
    json_error_t error;
    if (text[0] != '{') return say(SGP_ERR_FORMAT, file, problem, "its header is not JSON");
    file->header = files_json_parse(text, length, JSON_REJECT_DUPLICATES, &error);
    if (files_json_failed())
        return say(SGP_ERR_NO_MEMORY, file, problem, "no memory for its header");
    if (file->header) return SGP_OK;
    return say(SGP_ERR_FORMAT, file, problem, "its header is damaged: %s", error.text);
}

static sgp_status_t read_header(tensor_file_t *file, uint64_t size, char *problem) {
    uint8_t prefix[LENGTH_BYTES];
    uint64_t length = 0;
    if (size < LENGTH_BYTES)
        return say(SGP_ERR_FORMAT, file, problem, "has %llu bytes: not a safetensors file",
                   (unsigned long long)size);
    sgp_status_t status = read_at(file, 0, sizeof prefix, prefix, problem);
    if (status) return status;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | prefix[i];
    if (length < 2 || length > TENSOR_FILE_HEADER || length > size - LENGTH_BYTES)
        return say(SGP_ERR_FORMAT, file, problem,
                   "a header of %llu bytes in a file of %llu: cut, or not a safetensors file",
                   (unsigned long long)length, (unsigned long long)size);
    char *text = malloc(length);
    if (!text) return say(SGP_ERR_NO_MEMORY, file, problem, "no memory for its header");
    status = read_at(file, LENGTH_BYTES, length, text, problem);
    if (!status) status = parse_header(file, text, length, problem);
    free(text);
    file->data_start = LENGTH_BYTES + length;
    file->data_bytes = size - file->data_start;
    return status;
}

/* Strings by key. */
static sgp_status_t check_metadata(const tensor_file_t *file, const json_t *metadata,
                                   char *problem) {
    const char *key;
    json_t *value;
    bool good = json_is_object(metadata);
    json_object_foreach((json_t *)metadata, key, value) good = good && json_is_string(value);
    if (good) return SGP_OK;
    return say(SGP_ERR_FORMAT, file, problem, "its metadata are not all strings");
}

static bool parse_dtype(const json_t *value, safetensors_dtype_t *dtype) {
    if (!json_is_string(value)) return false;
    for (int i = 0; i < SAFETENSORS_COUNT; i++) {
        *dtype = (safetensors_dtype_t)i;
        if (strcmp(safetensors_dtype_name(*dtype), json_string_value(value)) == 0) return true;
    }
    return false;
}

/* Fills in dims and shape. *bytes: of the tensor. */
static bool parse_shape(const json_t *shape, tensor_file_entry_t *entry, uint64_t *bytes) {
    size_t dims = json_array_size(shape);
    if (!json_is_array(shape) || dims > TENSOR_FILE_DIMS) return false;
    entry->dims = (int)dims;
    *bytes = safetensors_dtype_bytes(entry->dtype);
    for (size_t i = 0; i < dims; i++) {
        json_t *size = json_array_get(shape, i);
        entry->shape[i] = json_integer_value(size);
        if (!json_is_integer(size) || entry->shape[i] < 0) return false;
        if (__builtin_mul_overflow(*bytes, (uint64_t)entry->shape[i], bytes)) return false;
    }
    return true;
}

static bool parse_place(const json_t *offsets, uint64_t bytes, uint64_t data_bytes,
                        tensor_file_entry_t *entry) {
    json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return false;
    if (json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return false;
    entry->begin = (uint64_t)json_integer_value(begin);
    entry->end = (uint64_t)json_integer_value(end);
    return entry->end <= data_bytes && entry->end - entry->begin == bytes;
}

static bool parse_entry(const json_t *json, uint64_t data_bytes, tensor_file_entry_t *entry) {
    uint64_t bytes;
    return json_is_object(json) && json_object_size(json) == 3 &&
           parse_dtype(json_object_get(json, "dtype"), &entry->dtype) &&
           parse_shape(json_object_get(json, "shape"), entry, &bytes) &&
           parse_place(json_object_get(json, "data_offsets"), bytes, data_bytes, entry);
}

static int by_place(const void *a, const void *b) {
    const tensor_file_entry_t *left = a, *right = b;
    if (left->begin != right->begin) return left->begin < right->begin ? -1 : 1;
    return (left->end > right->end) - (left->end < right->end); /* empty ones first */
}

/* Sorted by their place, each tensor begins where the one before ends. */
static sgp_status_t check_places(const tensor_file_t *file, char *problem) {
    uint64_t end = 0;
    for (size_t i = 0; i < file->count; i++) {
        if (file->tensors[i].begin != end)
            return say(SGP_ERR_FORMAT, file, problem, "the place of tensor %.64s is wrong",
                       file->tensors[i].name);
        end = file->tensors[i].end;
    }
    if (end == file->data_bytes) return SGP_OK;
    return say(SGP_ERR_FORMAT, file, problem, "has %llu bytes of data for tensors of %llu",
               (unsigned long long)file->data_bytes, (unsigned long long)end);
}

static sgp_status_t list_tensors(tensor_file_t *file, char *problem) {
    const char *name;
    json_t *json;
    file->tensors = calloc(json_object_size(file->header) + 1, sizeof *file->tensors);
    if (!file->tensors) return say(SGP_ERR_NO_MEMORY, file, problem, "no memory for its tensors");
    json_object_foreach(file->header, name, json) {
        if (strcmp(name, METADATA) == 0) {
            sgp_status_t status = check_metadata(file, json, problem);
            if (status) return status;
            continue;
        }
        tensor_file_entry_t *entry = &file->tensors[file->count++];
        entry->name = name;
        if (!parse_entry(json, file->data_bytes, entry))
            return say(SGP_ERR_FORMAT, file, problem,
                       "type, shape or place of tensor %.64s is wrong, or the file is cut", name);
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, by_place);
    return check_places(file, problem);
}

sgp_status_t tensor_file_open(const char *path, tensor_file_t *file,
                              char problem[TENSOR_FILE_PROBLEM]) {
    uint64_t size = 0;
    *file = (tensor_file_t){.descriptor = -1, .path = strdup(path)};
    if (!file->path) {
        snprintf(problem, TENSOR_FILE_PROBLEM, "no memory for the name of a file");
        return SGP_ERR_NO_MEMORY;
    }
    sgp_status_t status = open_it(file, &size, problem);
    if (!status) status = read_header(file, size, problem);
    if (!status) status = list_tensors(file, problem);
    if (status) tensor_file_close(file);
    return status;
}

void tensor_file_close(tensor_file_t *file) {
    if (file->descriptor >= 0) close(file->descriptor);
    json_decref(file->header);
    free(file->tensors);
    free(file->path);
    *file = (tensor_file_t){.descriptor = -1};
}

/* ---- lookup ---- */

const tensor_file_entry_t *tensor_file_find(const tensor_file_t *file, const char *name) {
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    return NULL;
}

const char *tensor_file_text(const tensor_file_t *file, const char *key) {
    return json_string_value(json_object_get(json_object_get(file->header, METADATA), key));
}

/* ---- the hash ---- */

#define HASH_PLACE (LENGTH_BYTES + sizeof SAFETENSORS_BEGIN - 1) /* of the digits, bytes */

/* Bytes [begin, end of the file). From the beginning, the hash's own digits count as zeros. */
static sgp_status_t hash_from(const tensor_file_t *file, uint64_t begin,
                              char text[CONTENT_HASH_TEXT], char *problem) {
    content_hash_t hash;
    uint64_t end = file->data_start + file->data_bytes;
    uint8_t *block = malloc(BLOCK_BYTES);
    sgp_status_t status = block ? content_hash_begin(&hash) : SGP_ERR_NO_MEMORY;
    if (status) {
        free(block);
        return say(status, file, problem, "no memory to read it");
    }
    for (uint64_t done = begin; done < end && !status;) {
        size_t count = end - done < BLOCK_BYTES ? (size_t)(end - done) : BLOCK_BYTES;
        status = read_at(file, done, count, block, problem);
        if (done == 0) memset(block + HASH_PLACE, '0', CONTENT_HASH_TEXT - 1);
        if (!status) content_hash_add(&hash, block, count);
        done += count;
    }
    content_hash_end(&hash, text);
    free(block);
    return status;
}

/* *begins: the hash is where safetensors_write puts it. */
static sgp_status_t find_hash(const tensor_file_t *file, bool *begins, char *problem) {
    char begin[sizeof SAFETENSORS_BEGIN - 1];
    *begins = file->data_start > HASH_PLACE + CONTENT_HASH_TEXT;
    if (!*begins) return SGP_OK;
    sgp_status_t status = read_at(file, LENGTH_BYTES, sizeof begin, begin, problem);
    *begins = !status && memcmp(begin, SAFETENSORS_BEGIN, sizeof begin) == 0;
    return status;
}

static sgp_status_t compare_hash(const tensor_file_t *file, const char *key, uint64_t begin,
                                 char *problem) {
    char found[CONTENT_HASH_TEXT];
    const char *wanted = tensor_file_text(file, key);
    sgp_status_t status = hash_from(file, begin, found, problem);
    if (status || (wanted && strcmp(found, wanted) == 0)) return status;
    return say(SGP_ERR_FORMAT, file, problem, "is damaged: it does not match its hash");
}

tensor_file_cover_t tensor_file_cover(const tensor_file_t *file) {
    if (tensor_file_text(file, SAFETENSORS_HASH) || tensor_file_text(file, SAFETENSORS_MARK))
        return TENSOR_FILE_WHOLE;
    return tensor_file_text(file, OLD_HASH) ? TENSOR_FILE_DATA : TENSOR_FILE_NOTHING;
}

sgp_status_t tensor_file_check(const tensor_file_t *file, char problem[TENSOR_FILE_PROBLEM]) {
    bool begins;
    tensor_file_cover_t cover = tensor_file_cover(file);
    sgp_status_t status = find_hash(file, &begins, problem);
    if (status) return status;
    if (begins) return compare_hash(file, SAFETENSORS_HASH, 0, problem);
    if (cover == TENSOR_FILE_WHOLE)
        return say(SGP_ERR_FORMAT, file, problem, "is damaged: its hash is not in its place");
    if (cover == TENSOR_FILE_NOTHING) return SGP_OK;
    return compare_hash(file, OLD_HASH, file->data_start, problem);
}

void tensor_file_note(const tensor_file_t *file) {
    const char *version = tensor_file_text(file, "sgp_version");
    tensor_file_cover_t cover = tensor_file_cover(file);
    if (cover == TENSOR_FILE_WHOLE || !version) return;
    sgp_log(SGP_LOG_WARNING, "%.300s: is of an earlier version, sgp %.16s: %s", file->path, version,
            cover == TENSOR_FILE_DATA ? "it names no run, and its hash leaves out its header"
                                      : "it has no hash of the whole file");
}
