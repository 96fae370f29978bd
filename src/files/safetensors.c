/* SPDX-License-Identifier: Apache-2.0 */
#include "files/safetensors.h"

#include "base/logging.h"
#include "files/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 8 /* of the data, bytes */
#define ZEROS     "00000000000000000000000000000000"

_Static_assert(sizeof ZEROS == CONTENT_HASH_TEXT, "as many digits as a hash has");

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
#define SAFETENSORS_ROW(name, bytes) {#name, bytes},
    SAFETENSORS_DTYPES(SAFETENSORS_ROW)
#undef SAFETENSORS_ROW
};

const char *safetensors_dtype_name(safetensors_dtype_t dtype) {
    return dtypes[dtype].name;
}

size_t safetensors_dtype_bytes(safetensors_dtype_t dtype) {
    return dtypes[dtype].bytes;
}

static size_t tensor_bytes(const safetensors_tensor_t *tensor) {
    size_t bytes = dtypes[tensor->dtype].bytes;
    for (int i = 0; i < tensor->dims; i++) bytes *= (size_t)tensor->shape[i];
    return bytes;
}

/* NULL when out of memory. */
static json_t *tensor_entry(const safetensors_tensor_t *tensor, size_t offset) {
    json_t *shape = json_array();
    for (int i = 0; i < tensor->dims; i++)
        json_array_append_new(shape, json_integer(tensor->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtypes[tensor->dtype].name, "shape", shape,
                     "data_offsets", (json_int_t)offset,
                     (json_int_t)(offset + tensor_bytes(tensor)));
}

/* "__metadata__", with zeros for the hash. */
static json_t *metadata_json(const safetensors_pair_t *metadata, size_t pairs) {
    json_t *texts = json_pack("{s:s, s:s}", SAFETENSORS_HASH, ZEROS, SAFETENSORS_MARK, "2");
    int failed = !texts;
    for (size_t i = 0; i < pairs; i++)
        failed |= json_object_set_new(texts, metadata[i].key, json_string(metadata[i].value));
    if (!failed) return texts;
    json_decref(texts);
    return NULL;
}

/* The JSON text padded to a multiple of ALIGNMENT; released with free. NULL when out of memory. */
static char *make_header(const safetensors_tensor_t *tensors, size_t count,
                         const safetensors_pair_t *metadata, size_t pairs, size_t *length) {
    files_json_begin();
    json_t *header = json_object();
    int failed = !header;
    failed |= json_object_set_new(header, "__metadata__", metadata_json(metadata, pairs));
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        failed |= json_object_set_new(header, tensors[i].name, tensor_entry(&tensors[i], offset));
        offset += tensor_bytes(&tensors[i]);
    }
    char *text = failed ? NULL : json_dumps(header, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(header);
    if (!text || files_json_failed()) {
        free(text);
        return NULL;
    }
    size_t used = strlen(text);
    *length = (used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    char *padded = realloc(text, *length + 1);
    if (!padded) free(text);
    else memset(padded + used, ' ', *length - used);
    return padded;
}

/* Inserts the hash of all parts into the header, which is one of them. */
static sgp_status_t insert_hash(char *header, const atomic_file_part_t *parts, size_t count) {
    char text[CONTENT_HASH_TEXT];
    content_hash_t hash;
    sgp_status_t status = content_hash_begin(&hash);
    if (status) return status;
    for (size_t i = 0; i < count; i++) content_hash_add(&hash, parts[i].bytes, parts[i].count);
    content_hash_end(&hash, text);
    memcpy(header + strlen(SAFETENSORS_BEGIN), text, CONTENT_HASH_TEXT - 1);
    return SGP_OK;
}

sgp_status_t safetensors_write(const char *directory, const char *name,
                               const safetensors_tensor_t *tensors, size_t count,
                               const safetensors_pair_t *metadata, size_t pairs) {
    size_t length;
    char *header = make_header(tensors, count, metadata, pairs, &length);
    atomic_file_part_t *parts = malloc((count + 2) * sizeof *parts);
    sgp_status_t status;
    if (!header || !parts) {
        status = sgp_fail(SGP_ERR_NO_MEMORY, "%s/%s: no memory for the header of %zu tensors",
                          directory, name, count);
        goto free_both;
    }
    uint64_t header_bytes = length;
    parts[0] = (atomic_file_part_t){&header_bytes, sizeof header_bytes};
    parts[1] = (atomic_file_part_t){header, length};
    for (size_t i = 0; i < count; i++)
        parts[i + 2] = (atomic_file_part_t){tensors[i].data, tensor_bytes(&tensors[i])};
    status = insert_hash(header, parts, count + 2);
    if (!status) status = atomic_file_replace(directory, name, parts, (int)count + 2);
free_both:
    free(parts);
    free(header);
    return status;
}
