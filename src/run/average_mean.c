/* SPDX-License-Identifier: Apache-2.0 */
#include "run/average_mean.h"

#include "base/memory.h"
#include "mixing/kernels.h"
#include "mixing/reduce.h"
#include "run/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT CHECKPOINT_OWN "mixer.weight"
#define CHUNK  ((size_t)1 << 16) /* elements */

/* ---- the model in a file ---- */

static bool is_own(const tensor_file_entry_t *entry) {
    return strncmp(entry->name, CHECKPOINT_OWN, strlen(CHECKPOINT_OWN)) == 0;
}

static sgp_status_t find_vector(const tensor_file_t *file, average_vector_t *vector,
                                char problem[TENSOR_FILE_PROBLEM]) {
    size_t i = 0;
    *vector = (average_vector_t){0};
    while (i < file->count && is_own(&file->tensors[i])) i++;
    vector->first = &file->tensors[i];
    for (; i < file->count && !is_own(&file->tensors[i]); i++, vector->tensors++) {
        if (file->tensors[i].dtype != SAFETENSORS_F32)
            return average_say(file, problem, "tensor %.64s is not F32", file->tensors[i].name);
        vector->length += (size_t)tensor_file_entry_count(&file->tensors[i]);
    }
    long parameters = average_number(file, "parameters"), buffers = average_number(file, "buffers");
    if (parameters < 1 || buffers < 0 || (size_t)parameters + (size_t)buffers != vector->length)
        return average_say(file, problem,
                           "its tensors have %zu numbers for %ld parameters and %ld buffers",
                           vector->length, parameters, buffers);
    vector->parameters = (size_t)parameters;
    return SGP_OK;
}

/* Whether the files of two nodes have the same tensors in the same order. */
static sgp_status_t check_vectors(const average_vector_t *one, const tensor_file_t *file,
                                  const average_vector_t *other,
                                  char problem[TENSOR_FILE_PROBLEM]) {
    bool same = one->tensors == other->tensors;
    for (size_t i = 0; i < one->tensors && same; i++)
        same = strcmp(one->first[i].name, other->first[i].name) == 0 &&
               tensor_file_entry_count(&one->first[i]) == tensor_file_entry_count(&other->first[i]);
    return same ? SGP_OK : average_say(file, problem, "has other tensors than node 0's");
}

sgp_status_t average_vectors(const average_source_t *source, average_vector_t *vectors,
                             char problem[TENSOR_FILE_PROBLEM]) {
    sgp_status_t status = SGP_OK;
    for (int f = 0; f < source->count && !status; f++) {
        const tensor_file_t *file = &source->files[f];
        status = find_vector(file, &vectors[f], problem);
        if (!status) status = check_vectors(&vectors[0], file, &vectors[f], problem);
    }
    return status;
}

sgp_status_t average_weight(const tensor_file_t *file, double *weight,
                            char problem[TENSOR_FILE_PROBLEM]) {
    const tensor_file_entry_t *entry = tensor_file_find(file, WEIGHT);
    if (!entry || entry->dtype != SAFETENSORS_F64 || tensor_file_entry_count(entry) != 1)
        return average_say(file, problem, "has no push-sum weight");
    sgp_status_t status = tensor_file_read(file, entry->begin, sizeof *weight, weight, problem);
    if (status || (*weight > 0 && isfinite(*weight))) return status;
    return average_say(file, problem, "its push-sum weight is %g", *weight);
}

/* ---- sums ---- */

/* An array in all files, and memory for a chunk of its sum. */
typedef struct sum {
    const average_source_t *source;
    uint64_t *begins; /* (files) bytes, where the array is in a file's data */
    double *weights;  /* (files) */
    double *sums;     /* (CHUNK) */
    float *part;      /* (CHUNK) */
} sum_t;

static void release(sum_t *sum) {
    sgp_memory_free(sum->part);
    sgp_memory_free(sum->sums);
    free(sum->weights);
    free(sum->begins);
}

static sgp_status_t prepare(sum_t *sum, const average_source_t *source, char *problem) {
    *sum = (sum_t){.source = source};
    sum->begins = calloc((size_t)source->count, sizeof *sum->begins);
    sum->weights = calloc((size_t)source->count, sizeof *sum->weights);
    sum->sums = sgp_memory_alloc(CHUNK * sizeof *sum->sums);
    sum->part = sgp_memory_alloc(CHUNK * sizeof *sum->part);
    if (sum->begins && sum->weights && sum->sums && sum->part) return SGP_OK;
    release(sum);
    snprintf(problem, TENSOR_FILE_PROBLEM, "no memory for an average");
    return SGP_ERR_NO_MEMORY;
}

/* Elements [begin, begin + count), averaged over worker number `worker` of every node. */
static sgp_status_t add_chunk(const sum_t *sum, int worker, size_t begin, size_t count, float *mean,
                              char problem[TENSOR_FILE_PROBLEM]) {
    const average_source_t *source = sum->source;
    double weight = 0;
    memset(sum->sums, 0, count * sizeof *sum->sums);
    for (int node = 0; node < source->nodes; node++) {
        int f = node * source->workers + worker;
        uint64_t at = sum->begins[f] + begin * sizeof *sum->part;
        sgp_status_t status =
            tensor_file_read(&source->files[f], at, count * sizeof *sum->part, sum->part, problem);
        if (status) return status;
        sgp_accumulate(count, sum->sums, sum->part, sum->weights[f]);
        weight += sum->weights[f];
    }
    sgp_divide(count, mean + begin, sum->sums, weight);
    return SGP_OK;
}

static sgp_status_t add_chunks(const sum_t *sum, int worker, size_t begin, size_t end, float *mean,
                               char *problem) {
    sgp_status_t status = SGP_OK;
    for (size_t done = begin, count; done < end && !status; done += count) {
        count = end - done < CHUNK ? end - done : CHUNK;
        status = add_chunk(sum, worker, done, count, mean, problem);
    }
    return status;
}

/* The workers of a node have equal parameters, but each mixes one segment of them, and in
 * asynchronous algorithms the segments have different push-sum weights. */
sgp_status_t average_model(const average_source_t *source, const average_vector_t *vectors,
                           float *mean, char problem[TENSOR_FILE_PROBLEM]) {
    sum_t sum;
    sgp_status_t status = prepare(&sum, source, problem);
    if (status) return status;
    for (int f = 0; f < source->count && !status; f++) {
        sum.begins[f] = vectors[f].first->begin;
        status = average_weight(&source->files[f], &sum.weights[f], problem);
    }
    for (int worker = 0; worker < source->workers && !status; worker++) {
        sgp_segment_t segment = sgp_segment_of(vectors[0].length, worker, source->workers);
        status = add_chunks(&sum, worker, segment.begin, segment.end, mean, problem);
    }
    release(&sum);
    return status;
}

sgp_status_t average_array(const average_source_t *source, int worker, const char *name,
                           float *mean, size_t count, char problem[TENSOR_FILE_PROBLEM]) {
    sum_t sum;
    sgp_status_t status = prepare(&sum, source, problem);
    if (status) return status;
    for (int f = worker; f < source->count && !status; f += source->workers) {
        const tensor_file_entry_t *entry = tensor_file_find(&source->files[f], name);
        bool good =
            entry && entry->dtype == SAFETENSORS_F32 && tensor_file_entry_count(entry) == count;
        if (!good) status = average_say(&source->files[f], problem, "has no such %s", name);
        else sum.begins[f] = entry->begin;
        sum.weights[f] = 1;
    }
    if (!status) status = add_chunks(&sum, worker, 0, count, mean, problem);
    release(&sum);
    return status;
}
