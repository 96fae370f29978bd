/* SPDX-License-Identifier: Apache-2.0 */
#include "run/average_checkpoint.h"

#include "base/constants.h"
#include "base/logging.h"
#include "base/memory.h"
#include "mixing/kernels.h"
#include "mixing/reduce.h"
#include "run/checkpoint.h"
#include "run/checkpoint_folder.h"
#include "run/run_id.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WEIGHT CHECKPOINT_OWN "mixer.weight"
#define CHUNK  ((size_t)1 << 16) /* elements */

/* ---- the files ---- */

__attribute__((format(printf, 3, 4))) static sgp_status_t
say(const tensor_file_t *file, char problem[TENSOR_FILE_PROBLEM], const char *format, ...) {
    va_list arguments;
    int length = snprintf(problem, TENSOR_FILE_PROBLEM, "%.300s: ", file->path);
    va_start(arguments, format);
    vsnprintf(problem + length, (size_t)(TENSOR_FILE_PROBLEM - length), format, arguments);
    va_end(arguments);
    return SGP_ERR_FORMAT;
}

/* A whole number in the metadata; -1: none. */
static long number_of(const tensor_file_t *file, const char *key) {
    const char *text = tensor_file_text(file, key);
    char *end;
    if (!text || *text < '0' || *text > '9') return -1;
    long number = strtol(text, &end, 10);
    return *end == '\0' ? number : -1;
}

/* Whether it is of the same run and step as node 0's file. */
static sgp_status_t check_alike(const tensor_file_t *file, const tensor_file_t *first,
                                char problem[TENSOR_FILE_PROBLEM]) {
    static const char *const keys[] = {"model",      "nodes",    "workers_per_node",
                                       "parameters", "buffers",  "data_checksum",
                                       "options",    RUN_ID_KEY, "step"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *here = tensor_file_text(file, keys[i]);
        const char *there = tensor_file_text(first, keys[i]);
        if (!here && !there && strcmp(keys[i], RUN_ID_KEY) == 0) continue; /* earlier versions */
        if (!here || !there) return say(file, problem, "its metadata have no %s", keys[i]);
        if (strcmp(here, there) == 0) continue;
        say(file, problem, "is of another run than node 0's: %s is %.40s, there %.40s", keys[i],
            here, there);
        return SGP_ERR_MISMATCH;
    }
    return SGP_OK;
}

static sgp_status_t open_one(average_source_t *source, int rank,
                             char problem[TENSOR_FILE_PROBLEM]) {
    char path[PATH_MAX + CHECKPOINT_NAME], name[CHECKPOINT_NAME];
    tensor_file_t *file = &source->files[rank];
    checkpoint_file_name(rank, name);
    snprintf(path, sizeof path, "%s/%s", source->folder, name);
    sgp_status_t status = tensor_file_open(path, file, problem);
    if (status) return status;
    source->count = rank + 1;
    status = tensor_file_check(file, problem);
    if (status) return status;
    const char *kind = tensor_file_text(file, "kind");
    if (!kind || strcmp(kind, "checkpoint") != 0 || tensor_file_cover(file) == TENSOR_FILE_NOTHING)
        return say(file, problem, "is not the checkpoint of a node");
    if (number_of(file, "rank") != rank)
        return say(file, problem, "is of node %s", tensor_file_text(file, "rank"));
    if (rank == 0) tensor_file_note(file);
    return check_alike(file, &source->files[0], problem);
}

static sgp_status_t open_folder(average_source_t *source, char problem[TENSOR_FILE_PROBLEM]) {
    source->count = 0;
    source->files = calloc(1, sizeof *source->files);
    sgp_status_t status = source->files ? open_one(source, 0, problem) : SGP_ERR_NO_MEMORY;
    long nodes = status ? 1 : number_of(&source->files[0], "nodes");
    long workers = status ? 1 : number_of(&source->files[0], "workers_per_node");
    if (!status && (nodes < 1 || workers < 1 || nodes > SGP_MOST_PROCESSES ||
                    workers > SGP_MOST_PROCESSES / nodes))
        status =
            say(&source->files[0], problem, "is of %ld nodes with %ld workers", nodes, workers);
    long count = nodes * workers;
    tensor_file_t *files =
        status ? NULL : realloc(source->files, (size_t)count * sizeof *source->files);
    if (!status && !files) status = SGP_ERR_NO_MEMORY;
    if (files) source->files = files;
    for (int rank = 1; rank < count && !status; rank++) status = open_one(source, rank, problem);
    source->nodes = (int)nodes;
    source->workers = (int)workers;
    if (!status) return SGP_OK;
    if (status == SGP_ERR_NO_MEMORY)
        snprintf(problem, TENSOR_FILE_PROBLEM, "no memory for the files of %ld nodes", nodes);
    average_close(source);
    return status;
}

void average_close(average_source_t *source) {
    for (int rank = 0; rank < source->count; rank++) tensor_file_close(&source->files[rank]);
    free(source->files);
    source->files = NULL;
    source->count = 0;
}

/* Opens the newest good one. */
static sgp_status_t open_newest(const char *run, const checkpoint_list_t *list,
                                average_source_t *source) {
    char problem[TENSOR_FILE_PROBLEM];
    for (size_t i = 0; i < list->count; i++) {
        sgp_status_t status = checkpoint_folder(run, list->steps[i], source->folder);
        if (status) return status;
        status = open_folder(source, problem);
        if (!status) return SGP_OK;
        if (status == SGP_ERR_NO_MEMORY) return sgp_fail(status, "%s", problem);
        bool last = i + 1 == list->count;
        if (last && status == SGP_ERR_NOT_FOUND) status = SGP_ERR_FORMAT;
        if (last) return sgp_fail(status, "%s; there is no good checkpoint", problem);
        sgp_log(SGP_LOG_WARNING, "%s; using the checkpoint before it", problem);
    }
    return sgp_fail(SGP_ERR_NOT_FOUND, "%s: has no checkpoint", run);
}

static bool is_checkpoint(const char *path) {
    char file[PATH_MAX + CHECKPOINT_NAME];
    snprintf(file, sizeof file, "%s/node-0.safetensors", path);
    return access(file, F_OK) == 0;
}

sgp_status_t average_open(const char *path, average_source_t *source) {
    char problem[TENSOR_FILE_PROBLEM];
    checkpoint_list_t list;
    *source = (average_source_t){0};
    if (strlen(path) >= PATH_MAX)
        return sgp_fail(SGP_ERR_INVALID, "a path of %zu bytes is too long", strlen(path));
    if (access(path, F_OK) != 0) return sgp_fail(SGP_ERR_NOT_FOUND, "%s: does not exist", path);
    if (is_checkpoint(path)) {
        strcpy(source->folder, path);
        sgp_status_t status = open_folder(source, problem);
        return status ? sgp_fail(status, "%s", problem) : SGP_OK;
    }
    sgp_status_t status = checkpoint_list(path, &list);
    if (status) return status;
    status = open_newest(path, &list, source);
    checkpoint_list_release(&list);
    return status;
}

/* ---- the mean ---- */

/* The model's tensors, which lie one after the other: parameters, then buffers. */
typedef struct vector {
    const tensor_file_entry_t *first;
    size_t tensors;
    size_t parameters, length; /* P, P + S */
} vector_t;

static bool is_own(const tensor_file_entry_t *entry) {
    return strncmp(entry->name, CHECKPOINT_OWN, strlen(CHECKPOINT_OWN)) == 0;
}

static sgp_status_t find_vector(const tensor_file_t *file, vector_t *vector,
                                char problem[TENSOR_FILE_PROBLEM]) {
    size_t i = 0;
    *vector = (vector_t){0};
    while (i < file->count && is_own(&file->tensors[i])) i++;
    vector->first = &file->tensors[i];
    for (; i < file->count && !is_own(&file->tensors[i]); i++, vector->tensors++) {
        if (file->tensors[i].dtype != SAFETENSORS_F32)
            return say(file, problem, "tensor %.64s is not F32", file->tensors[i].name);
        vector->length += (size_t)tensor_file_entry_count(&file->tensors[i]);
    }
    long parameters = number_of(file, "parameters"), buffers = number_of(file, "buffers");
    if (parameters < 1 || buffers < 0 || (size_t)parameters + (size_t)buffers != vector->length)
        return say(file, problem, "its tensors have %zu numbers for %ld parameters and %ld buffers",
                   vector->length, parameters, buffers);
    vector->parameters = (size_t)parameters;
    return SGP_OK;
}

/* Whether the files of two nodes have the same tensors in the same order. */
static sgp_status_t check_vectors(const vector_t *one, const tensor_file_t *file,
                                  const vector_t *other, char problem[TENSOR_FILE_PROBLEM]) {
    bool same = one->tensors == other->tensors;
    for (size_t i = 0; i < one->tensors && same; i++)
        same = strcmp(one->first[i].name, other->first[i].name) == 0 &&
               tensor_file_entry_count(&one->first[i]) == tensor_file_entry_count(&other->first[i]);
    return same ? SGP_OK : say(file, problem, "has other tensors than node 0's");
}

static sgp_status_t read_weight(const tensor_file_t *file, double *weight,
                                char problem[TENSOR_FILE_PROBLEM]) {
    const tensor_file_entry_t *entry = tensor_file_find(file, WEIGHT);
    if (!entry || entry->dtype != SAFETENSORS_F64 || tensor_file_entry_count(entry) != 1)
        return say(file, problem, "has no push-sum weight");
    sgp_status_t status = tensor_file_read(file, entry->begin, sizeof *weight, weight, problem);
    if (status || (*weight > 0 && isfinite(*weight))) return status;
    return say(file, problem, "its push-sum weight is %g", *weight);
}

/* The contents of all files, and memory for a chunk of their sum. */
typedef struct sum {
    const average_source_t *source;
    vector_t *vectors; /* (files) */
    double *weights;   /* (files) */
    double *sums;      /* (CHUNK) */
    float *part;       /* (CHUNK) */
} sum_t;

/* Elements [begin, begin + count), averaged over worker number `worker` of every node. */
static sgp_status_t add_chunk(const sum_t *sum, int worker, size_t begin, size_t count, float *mean,
                              char problem[TENSOR_FILE_PROBLEM]) {
    const average_source_t *source = sum->source;
    double weight = 0;
    memset(sum->sums, 0, count * sizeof *sum->sums);
    for (int node = 0; node < source->nodes; node++) {
        int f = node * source->workers + worker;
        uint64_t at = sum->vectors[f].first->begin + begin * sizeof *sum->part;
        sgp_status_t status =
            tensor_file_read(&source->files[f], at, count * sizeof *sum->part, sum->part, problem);
        if (status) return status;
        sgp_accumulate(count, sum->sums, sum->part, sum->weights[f]);
        weight += sum->weights[f];
    }
    sgp_divide(count, mean + begin, sum->sums, weight);
    return SGP_OK;
}

/* The workers of a node have equal parameters, but each mixes one segment of them, and in
 * asynchronous algorithms the segments have different push-sum weights. mean: (length). */
static sgp_status_t add_up(const sum_t *sum, float *mean, char problem[TENSOR_FILE_PROBLEM]) {
    sgp_status_t status = SGP_OK;
    for (int worker = 0; worker < sum->source->workers; worker++) {
        sgp_segment_t segment =
            sgp_segment_of(sum->vectors[0].length, worker, sum->source->workers);
        for (size_t done = segment.begin, count; done < segment.end && !status; done += count) {
            count = segment.end - done < CHUNK ? segment.end - done : CHUNK;
            status = add_chunk(sum, worker, done, count, mean, problem);
        }
    }
    return status;
}

static sgp_status_t find_all(const sum_t *sum, char problem[TENSOR_FILE_PROBLEM]) {
    sgp_status_t status = SGP_OK;
    for (int f = 0; f < sum->source->count && !status; f++) {
        const tensor_file_t *file = &sum->source->files[f];
        status = find_vector(file, &sum->vectors[f], problem);
        if (!status) status = check_vectors(&sum->vectors[0], file, &sum->vectors[f], problem);
        if (!status) status = read_weight(file, &sum->weights[f], problem);
    }
    return status;
}

static sgp_status_t make_mean(const average_source_t *source, vector_t *vectors, float **mean,
                              char problem[TENSOR_FILE_PROBLEM]) {
    sum_t sum = {.source = source, .vectors = vectors};
    sum.weights = calloc((size_t)source->count, sizeof *sum.weights);
    sum.sums = sgp_memory_alloc(CHUNK * sizeof *sum.sums);
    sum.part = sgp_memory_alloc(CHUNK * sizeof *sum.part);
    snprintf(problem, TENSOR_FILE_PROBLEM, "no memory for an average");
    sgp_status_t status = sum.weights && sum.sums && sum.part ? SGP_OK : SGP_ERR_NO_MEMORY;
    if (!status) status = find_all(&sum, problem);
    if (!status && !(*mean = sgp_memory_alloc(vectors[0].length * sizeof **mean)))
        status = SGP_ERR_NO_MEMORY;
    if (!status) status = add_up(&sum, *mean, problem);
    sgp_memory_free(sum.part);
    sgp_memory_free(sum.sums);
    free(sum.weights);
    return status;
}

/* ---- the file ---- */

static sgp_status_t write_mean(const tensor_file_t *file, const vector_t *vector, const float *mean,
                               const char *directory, const char *name, const char *hash) {
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
    float *mean = NULL;
    const tensor_file_t *file = &source->files[0];
    vector_t *vectors = calloc((size_t)source->count, sizeof *vectors);
    if (!vectors) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", source->nodes);
    sgp_status_t status = make_mean(source, vectors, &mean, problem);
    if (status) sgp_log(SGP_LOG_ERROR, "%s", problem);
    else {
        *result = (average_result_t){.model = tensor_file_text(file, "model"),
                                     .step = (uint64_t)number_of(file, "step"),
                                     .nodes = source->nodes};
        content_hash_of(mean, vectors[0].parameters * sizeof *mean, result->hash);
        status = write_mean(file, &vectors[0], mean, directory, name, result->hash);
    }
    sgp_memory_free(mean);
    free(vectors);
    return status;
}
