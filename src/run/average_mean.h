/* SPDX-License-Identifier: Apache-2.0 */
/* Means over the nodes of a checkpoint, straight from its files, a chunk at a time: of the model, weighted by the nodes'
 * push-sum weights, and of any other array of numbers, in which every node counts the same. Sums are in double and in
 * order of rank.
 *
 * Called by average_checkpoint.c, which writes the mean as a model, and by resize.c, which goes on from it. Problems are
 * written into a text, as in files/tensor_file.h. */
#ifndef SGP_RUN_AVERAGE_MEAN_H
#define SGP_RUN_AVERAGE_MEAN_H

#include "run/average_source.h"

/* The model's tensors in a file, which lie one after the other: parameters, then buffers. */
typedef struct average_vector {
    const tensor_file_entry_t *first; /* borrowed from the file */
    size_t tensors;
    size_t parameters, length; /* P, P + S */
} average_vector_t;

/* Finds the model in each file: the same tensors in all. vectors: (source->count). SGP_ERR_FORMAT. */
sgp_status_t average_vectors(const average_source_t *source, average_vector_t *vectors,
                             char problem[TENSOR_FILE_PROBLEM]);

/* mean: (length) the sum of w z over nodes, divided by that of w. SGP_ERR_FORMAT, SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t average_model(const average_source_t *source, const average_vector_t *vectors,
                           float *mean, char problem[TENSOR_FILE_PROBLEM]);

/* The push-sum weight in a file. */
sgp_status_t average_weight(const tensor_file_t *file, double *weight,
                            char problem[TENSOR_FILE_PROBLEM]);

/* mean: (count) of the float32 array of that name, over worker number `worker` of every node. The errors of
 * average_model. */
sgp_status_t average_array(const average_source_t *source, int worker, const char *name,
                           float *mean, size_t count, char problem[TENSOR_FILE_PROBLEM]);

#endif
