/* SPDX-License-Identifier: Apache-2.0 */
/* Writing named tensors in the safetensors format: 8 bytes with the header's length
 * (little-endian), a JSON header padded with spaces so that the data start at a multiple of 8, then
 * the data, tensor after tensor without gaps. Source: https://github.com/huggingface/safetensors,
 * "Format". */
#ifndef TRAIN_SAFETENSORS_H
#define TRAIN_SAFETENSORS_H

#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

typedef struct safetensors_tensor {
    const char *name; /* unique, not "__metadata__"; borrowed for the call */
    int dims;
    const int64_t *shape; /* (dims) outermost first */
    const float *data;    /* (product of the shape) */
} safetensors_tensor_t;

/* A pair of strings for the header's "__metadata__". */
typedef struct safetensors_pair {
    const char *key, *value;
} safetensors_pair_t;

/* Replaces directory/name atomically (train/file.h). The data are in the order given.
 * SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t safetensors_write(const char *directory, const char *name,
                               const safetensors_tensor_t *tensors /* (count) */, size_t count,
                               const safetensors_pair_t *metadata /* (pairs) */, size_t pairs);

#endif
