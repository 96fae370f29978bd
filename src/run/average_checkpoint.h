/* SPDX-License-Identifier: Apache-2.0 */
/* Averages the checkpoint of a run into one model: the mean of the nodes' parameters, weighted by
 * their push-sum weights, summed in double and in order of rank. The bits equal those of the
 * average that the run itself takes after the same step. */
#ifndef SGP_RUN_AVERAGE_CHECKPOINT_H
#define SGP_RUN_AVERAGE_CHECKPOINT_H

#include "run/average_source.h"

typedef struct average_result {
    const char *model; /* borrowed from the source */
    uint64_t step;
    int nodes;
    char hash[CONTENT_HASH_TEXT]; /* of the averaged parameters: summary.json's parameters_hash */
} average_result_t;

/* Replaces directory/name by the mean, with the tensors and metadata of a run's model.safetensors.
 * SGP_ERR_FORMAT: the files do not hold a model. SGP_ERR_IO, SGP_ERR_NO_MEMORY. Logged. */
sgp_status_t average_write(const average_source_t *source, const char *directory, const char *name,
                           average_result_t *result);

#endif
