/* SPDX-License-Identifier: Apache-2.0 */
#include "run/average_checkpoint.h"

#include "base/logging.h"
#include "base/memory.h"
#include "run/average_mean.h"
#include "run/run_id.h"

#include <stdio.h>
#include <stdlib.h>

static sgp_status_t write_mean(const tensor_file_t *file, const average_vector_t *vector,
                               const float *mean, const char *directory, const char *name,
                               const char *hash) {
    static const char *const same[] = {"model", "mean", "deviation", RUN_ID_KEY, "step", "nodes"};
    safetensors_pair_t pairs[9] = {
        {"format", "pt"}, {"sgp_version", SGP_VERSION}, {"parameters_hash", hash}};
    size_t count = 3;
    safetensors_tensor_t *tensors = calloc(vector->tensors, sizeof *tensors);
    if (!tensors) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu tensors", vector->tensors);
    for (size_t i = 0; i < vector->tensors; i++) {
        const tensor_file_entry_t *entry = &vector->first[i];
        tensors[i] = (safetensors_tensor_t){
            .name = entry->name, .dims = entry->dims, .shape = entry->shape, .data = mean};
        mean += tensor_file_entry_count(entry);
    }
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        if (tensor_file_text(file, same[i]))
            pairs[count++] = (safetensors_pair_t){same[i], tensor_file_text(file, same[i])};
    sgp_status_t status =
        safetensors_write(directory, name, tensors, vector->tensors, pairs, count);
    free(tensors);
    return status;
}

sgp_status_t average_write(const average_source_t *source, const char *directory, const char *name,
                           average_result_t *result) {
    char problem[TENSOR_FILE_PROBLEM];
    const tensor_file_t *file = &source->files[0];
    average_vector_t *vectors = calloc((size_t)source->count, sizeof *vectors);
    if (!vectors) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", source->nodes);
    float *mean = NULL;
    sgp_status_t status = average_vectors(source, vectors, problem);
    if (!status && !(mean = sgp_memory_alloc(vectors[0].length * sizeof *mean))) {
        snprintf(problem, TENSOR_FILE_PROBLEM, "no memory for an average");
        status = SGP_ERR_NO_MEMORY;
    }
    if (!status) status = average_model(source, vectors, mean, problem);
    if (status) sgp_log(SGP_LOG_ERROR, "%s", problem);
    else {
        *result = (average_result_t){.model = tensor_file_text(file, "model"),
                                     .step = (uint64_t)average_number(file, "step"),
                                     .nodes = source->nodes};
        content_hash_of(mean, vectors[0].parameters * sizeof *mean, result->hash);
        status = write_mean(file, &vectors[0], mean, directory, name, result->hash);
    }
    sgp_memory_free(mean);
    free(vectors);
    return status;
}
