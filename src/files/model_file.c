/* SPDX-License-Identifier: Apache-2.0 */
#include "files/model_file.h"

#include "base/logging.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

size_t model_file_tensors(const model_t *model, const float *vector,
                          safetensors_tensor_t *tensors) {
    size_t count = model_tensor_count(model), parameters = model_parameter_count(model);
    for (size_t i = 0; i < count; i++) {
        const model_tensor_t *tensor = model_tensor(model, i);
        size_t start = tensor->is_buffer ? parameters : 0;
        tensors[i] = (safetensors_tensor_t){.name = tensor->name,
                                            .dims = tensor->dims,
                                            .shape = tensor->shape,
                                            .data = vector + start + tensor->offset};
    }
    return count;
}

/* Nine digits reproduce every float32. */
static void format_numbers(const float *numbers, int count, char text[MODEL_FILE_NUMBERS]) {
    size_t at = 0;
    for (int i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, MODEL_FILE_NUMBERS - at, "%s%.9g", i ? "," : "",
                               (double)numbers[i]);
}

size_t model_file_describe(model_file_about_t *about,
                           const model_file_normalisation_t *normalisation,
                           safetensors_pair_t *pairs) {
    format_numbers(normalisation->mean, normalisation->channels, about->mean);
    format_numbers(normalisation->deviation, normalisation->channels, about->deviation);
    pairs[0] = (safetensors_pair_t){"format", "pt"};
    pairs[1] = (safetensors_pair_t){"sgp_version", SGP_VERSION};
    pairs[2] = (safetensors_pair_t){"mean", about->mean};
    pairs[3] = (safetensors_pair_t){"deviation", about->deviation};
    return MODEL_FILE_PAIRS;
}

sgp_status_t model_file_write(const char *directory, const char *name, const model_t *model,
                              const float *vector, const safetensors_pair_t *pairs, size_t count) {
    size_t tensor_count = model_tensor_count(model);
    safetensors_tensor_t *tensors = calloc(tensor_count, sizeof *tensors);
    if (!tensors) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu tensors", tensor_count);
    model_file_tensors(model, vector, tensors);
    sgp_status_t status = safetensors_write(directory, name, tensors, tensor_count, pairs, count);
    free(tensors);
    return status;
}

/* ---- reading ---- */

static void shape_text(int dims, const int64_t *shape, char text[96]) {
    int at = snprintf(text, 96, "(");
    for (int i = 0; i < dims && at < 70; i++)
        at += snprintf(text + at, 96 - (size_t)at, "%s%lld", i ? ", " : "", (long long)shape[i]);
    snprintf(text + at, 96 - (size_t)at, ")");
}

static sgp_status_t check_tensor(const tensor_file_t *file, const model_tensor_t *tensor,
                                 char problem[TENSOR_FILE_PROBLEM]) {
    const tensor_file_entry_t *entry = tensor_file_find(file, tensor->name);
    char found[96], wanted[96];
    if (!entry) {
        snprintf(problem, TENSOR_FILE_PROBLEM, "%.300s: has no tensor %.64s: another model?",
                 file->path, tensor->name);
        return SGP_ERR_MISMATCH;
    }
    shape_text(entry->dims, entry->shape, found);
    shape_text(tensor->dims, tensor->shape, wanted);
    if (entry->dtype == SAFETENSORS_F32 && strcmp(found, wanted) == 0) return SGP_OK;
    snprintf(problem, TENSOR_FILE_PROBLEM,
             "%.200s: tensor %.64s is %s %s, must be F32 %s: another model, or for other images?",
             file->path, tensor->name, safetensors_dtype_name(entry->dtype), found, wanted);
    return SGP_ERR_MISMATCH;
}

/* The hash of the parameters is the only one in models of earlier versions. */
static sgp_status_t check_parameters(const tensor_file_t *file, const model_t *model,
                                     const float *vector, char problem[TENSOR_FILE_PROBLEM]) {
    char found[CONTENT_HASH_TEXT];
    const char *wanted = tensor_file_text(file, "parameters_hash");
    content_hash_of(vector, model_parameter_count(model) * sizeof *vector, found);
    if (!wanted || strcmp(found, wanted) == 0) return SGP_OK;
    snprintf(problem, TENSOR_FILE_PROBLEM,
             "%.300s: is damaged: its parameters do not match their hash", file->path);
    return SGP_ERR_FORMAT;
}

static bool has_tensor(const model_t *model, const char *name) {
    for (size_t i = 0; i < model_tensor_count(model); i++)
        if (strcmp(model_tensor(model, i)->name, name) == 0) return true;
    return false;
}

/* Torch counts the batches of each batch norm, for a kind of average that is not used. */
static bool is_batch_counter(const char *name) {
    static const char ending[] = ".num_batches_tracked";
    size_t length = strlen(name), needed = sizeof ending - 1;
    return length > needed && strcmp(name + length - needed, ending) == 0;
}

sgp_status_t model_file_fits(const tensor_file_t *file, const model_t *model,
                             char problem[TENSOR_FILE_PROBLEM]) {
    sgp_status_t status = SGP_OK;
    for (size_t i = 0; i < model_tensor_count(model) && !status; i++)
        status = check_tensor(file, model_tensor(model, i), problem);
    for (size_t i = 0; i < file->count && !status; i++) {
        const char *name = file->tensors[i].name;
        if (is_batch_counter(name) || has_tensor(model, name)) continue;
        snprintf(problem, TENSOR_FILE_PROBLEM,
                 "%.300s: tensor %.64s is none of the model's: another model?", file->path, name);
        status = SGP_ERR_MISMATCH;
    }
    return status;
}

sgp_status_t model_file_read(const tensor_file_t *file, const model_t *model, float *vector,
                             char problem[TENSOR_FILE_PROBLEM]) {
    size_t count = model_tensor_count(model), parameters = model_parameter_count(model);
    sgp_status_t status = SGP_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = check_tensor(file, model_tensor(model, i), problem);
    for (size_t i = 0; i < count && !status; i++) {
        const model_tensor_t *tensor = model_tensor(model, i);
        float *place = vector + (tensor->is_buffer ? parameters : 0) + tensor->offset;
        status = tensor_file_read(file, tensor_file_find(file, tensor->name)->begin,
                                  tensor->count * sizeof *place, place, problem);
    }
    return status ? status : check_parameters(file, model, vector, problem);
}

/* Exactly `count` numbers with commas between them. */
static bool parse_numbers(const char *text, int count, float *numbers) {
    for (int i = 0; i < count; i++) {
        char *end;
        numbers[i] = strtof(text, &end);
        bool last = i + 1 == count;
        if (end == text || *end != (last ? '\0' : ',') || !isfinite(numbers[i])) return false;
        text = end + 1;
    }
    return true;
}

sgp_status_t model_file_normalise(const tensor_file_t *file,
                                  model_file_normalisation_t *normalisation,
                                  char problem[TENSOR_FILE_PROBLEM]) {
    const char *mean = tensor_file_text(file, "mean");
    const char *deviation = tensor_file_text(file, "deviation");
    int channels = normalisation->channels;
    float means[channels], deviations[channels];
    if (!mean && !deviation) return SGP_OK;
    bool good = mean && deviation && parse_numbers(mean, channels, means) &&
                parse_numbers(deviation, channels, deviations);
    for (int c = 0; c < channels && good; c++) good = deviations[c] > 0;
    if (good) {
        memcpy(normalisation->mean, means, sizeof means);
        memcpy(normalisation->deviation, deviations, sizeof deviations);
        return SGP_OK;
    }
    snprintf(
        problem, TENSOR_FILE_PROBLEM,
        "%.300s: mean %.40s and deviation %.40s: must be %d numbers each, one for each channel "
        "of the images",
        file->path, mean ? mean : "?", deviation ? deviation : "?", channels);
    return SGP_ERR_FORMAT;
}
