/* SPDX-License-Identifier: Apache-2.0 */
/* A model's parameters and batch-norm statistics as named tensors in a safetensors file, and back.
 * Beside the model's name the metadata hold what the images have to be normalised by. */
#ifndef SGP_FILES_MODEL_FILE_H
#define SGP_FILES_MODEL_FILE_H

#include "data/dataset.h"
#include "model/model.h"
#include "files/tensor_file.h"

enum { MODEL_FILE_PAIRS = 4, MODEL_FILE_NUMBERS = 128 };

/* Texts of metadata. */
typedef struct model_file_about {
    char mean[MODEL_FILE_NUMBERS], deviation[MODEL_FILE_NUMBERS]; /* by channel, "1.5,2" */
} model_file_about_t;

/* Lists the model's tensors as they lie in vector (P + S), parameters first; both are borrowed as
 * long as the list is used. Returns model_tensor_count. */
size_t model_file_tensors(const model_t *model, const float *vector,
                          safetensors_tensor_t *tensors /* (model_tensor_count) */);

/* What any file with a model says: plain layouts as PyTorch has them, the version, and the
 * normalisation. Returns MODEL_FILE_PAIRS; their values point into about. */
size_t model_file_describe(model_file_about_t *about, const dataset_t *dataset,
                           safetensors_pair_t *pairs /* (MODEL_FILE_PAIRS) */);

/* Replaces directory/name by the model `model_name`. vector: (P + S). id: of the run. hash: of its
 * P parameters.
 * SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t model_file_write(const char *directory, const char *name, const char *model_name,
                              const model_t *model, const dataset_t *dataset, const float *vector,
                              const char *id, const char *hash);

/* Fills vector (P + S) from a file with all of the model's tensors; others in it are left alone.
 * A hash of the parameters in the metadata has to be right; that of the file is for
 * tensor_file_check. problem: filled, nothing is logged. SGP_ERR_MISMATCH: a tensor is missing or
 * has another shape. SGP_ERR_FORMAT: damaged. SGP_ERR_IO,
 * SGP_ERR_NO_MEMORY. */
sgp_status_t model_file_read(const tensor_file_t *file, const model_t *model, float *vector,
                             char problem[TENSOR_FILE_PROBLEM]);

/* Puts the file's normalisation, if it has one, in place of the data set's own. SGP_ERR_FORMAT: it
 * makes no sense for so many channels. */
sgp_status_t model_file_normalisation(const tensor_file_t *file, dataset_t *dataset,
                                      char problem[TENSOR_FILE_PROBLEM]);

#endif
