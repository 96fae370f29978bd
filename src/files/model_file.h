/* SPDX-License-Identifier: Apache-2.0 */
/* A model's parameters and batch-norm statistics as named tensors of a safetensors file, written
 * and read. The metadata hold the normalisation of the images that the model was trained on. */
#ifndef SGP_FILES_MODEL_FILE_H
#define SGP_FILES_MODEL_FILE_H

#include "files/tensor_file.h"
#include "model/model.h"

enum { MODEL_FILE_PAIRS = 4, MODEL_FILE_NUMBERS = 128 };

/* Mean and standard deviation of the images' pixels, by channel. */
typedef struct model_file_normalisation {
    int channels;
    float *mean, *deviation; /* (channels) borrowed */
} model_file_normalisation_t;

/* Texts of metadata. */
typedef struct model_file_about {
    char mean[MODEL_FILE_NUMBERS], deviation[MODEL_FILE_NUMBERS]; /* by channel, "1.5,2" */
} model_file_about_t;

/* Lists the model's tensors as they lie in vector (P + S), parameters first; both are borrowed as
 * long as the list is used. Returns model_tensor_count. */
size_t model_file_tensors(const model_t *model, const float *vector,
                          safetensors_tensor_t *tensors /* (model_tensor_count) */);

/* The metadata of every file with a model: plain layouts as in PyTorch, the version, and the
 * normalisation. Returns MODEL_FILE_PAIRS; the pairs' values point into about. */
size_t model_file_describe(model_file_about_t *about,
                           const model_file_normalisation_t *normalisation,
                           safetensors_pair_t *pairs /* (MODEL_FILE_PAIRS) */);

/* Replaces directory/name by the model with these metadata. vector: (P + S). SGP_ERR_IO,
 * SGP_ERR_NO_MEMORY, logged. */
sgp_status_t model_file_write(const char *directory, const char *name, const model_t *model,
                              const float *vector, const safetensors_pair_t *pairs /* (count) */,
                              size_t count);

/* Fills vector (P + S) from a file with all of the model's tensors; others in it are ignored.
 * Checks the parameters' hash in the metadata, if there is one; the hash of the file is left to
 * tensor_file_check. problem: filled on failure, nothing is logged. SGP_ERR_MISMATCH: a tensor is
 * missing or has another shape. SGP_ERR_FORMAT: damaged. SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t model_file_read(const tensor_file_t *file, const model_t *model, float *vector,
                             char problem[TENSOR_FILE_PROBLEM]);

/* Whether the file has all of the model's tensors, in their shapes, and no others; those named
 * *.num_batches_tracked, which torch keeps, are ignored. problem: as above, names the first tensor.
 * SGP_ERR_MISMATCH. */
sgp_status_t model_file_fits(const tensor_file_t *file, const model_t *model,
                             char problem[TENSOR_FILE_PROBLEM]);

/* Replaces the normalisation by the file's, if the file has one. SGP_ERR_FORMAT: the file's does
 * not fit the number of channels; problem says so, nothing is logged. */
sgp_status_t model_file_normalise(const tensor_file_t *file,
                                  model_file_normalisation_t *normalisation,
                                  char problem[TENSOR_FILE_PROBLEM]);

#endif
