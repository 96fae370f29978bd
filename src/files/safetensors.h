/* SPDX-License-Identifier: Apache-2.0 */
/* Writes named tensors in the safetensors format: 8 bytes with the header's length (little-endian),
 * a JSON header padded with spaces so that the data start at a multiple of 8, then the data, tensor
 * after tensor without gaps. Source: https://github.com/huggingface/safetensors, "Format". For
 * reading see files/tensor_file.h.
 *
 * The metadata begin with the hash of the whole file, header and data, in which the hash's own
 * digits count as zeros. It is at a fixed place, and a second key says that the file has one, so
 * that a file with a damaged key is not taken for one without a hash. */
#ifndef SGP_FILES_SAFETENSORS_H
#define SGP_FILES_SAFETENSORS_H

#include "files/content_hash.h"

#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

/* After the header's length every file has these bytes, then the digits. */
#define SAFETENSORS_BEGIN "{\"__metadata__\":{\"" SAFETENSORS_HASH "\":\""
#define SAFETENSORS_HASH  "file_hash"
/* The key of a file that has such a hash. */
#define SAFETENSORS_MARK "sgp_format"

/* X(name, bytes of an element) */
#define SAFETENSORS_DTYPES(X)                                                                      \
    X(F32, 4)                                                                                      \
    X(F64, 8)                                                                                      \
    X(U64, 8)                                                                                      \
    X(I64, 8)                                                                                      \
    X(U32, 4)                                                                                      \
    X(I32, 4)                                                                                      \
    X(U16, 2)                                                                                      \
    X(I16, 2)                                                                                      \
    X(F16, 2)                                                                                      \
    X(BF16, 2)                                                                                     \
    X(F8_E4M3, 1)                                                                                  \
    X(F8_E5M2, 1)                                                                                  \
    X(U8, 1)                                                                                       \
    X(I8, 1)                                                                                       \
    X(BOOL, 1)

typedef enum safetensors_dtype {
#define SAFETENSORS_ENUM(name, bytes) SAFETENSORS_##name,
    SAFETENSORS_DTYPES(SAFETENSORS_ENUM)
#undef SAFETENSORS_ENUM
        SAFETENSORS_COUNT
} safetensors_dtype_t;

typedef struct safetensors_tensor {
    const char *name; /* unique, not "__metadata__"; borrowed for the call */
    int dims;
    const int64_t *shape;      /* (dims) outermost first */
    const void *data;          /* (product of the shape) */
    safetensors_dtype_t dtype; /* SAFETENSORS_F32 */
} safetensors_tensor_t;

/* A pair of strings for the header's "__metadata__". */
typedef struct safetensors_pair {
    const char *key, *value;
} safetensors_pair_t;

/* "F32", ...; never NULL, static. */
const char *safetensors_dtype_name(safetensors_dtype_t dtype);

/* Of an element. */
size_t safetensors_dtype_bytes(safetensors_dtype_t dtype);

/* Replaces directory/name atomically (files/atomic_file.h), with the hash before the other
 * metadata. The data are in the given order; put wide elements first, so that all are aligned.
 * SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t safetensors_write(const char *directory, const char *name,
                               const safetensors_tensor_t *tensors /* (count) */, size_t count,
                               const safetensors_pair_t *metadata /* (pairs) */, size_t pairs);

#endif
