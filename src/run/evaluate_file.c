/* SPDX-License-Identifier: Apache-2.0 */
#include "run/evaluate_file.h"

#include "base/logging.h"
#include "base/memory.h"
#include "files/model_file.h"
#include "run/evaluate.h"

#include <stdio.h>
#include <string.h>

/* NULL: not made yet. */
typedef struct eval {
    const evaluate_file_options_t *options;
    tensor_file_t file;
    const char *name; /* of the model */
    dataset_t *dataset;
    model_t *model;
    loader_t loader;
    float *vector, *images; /* (P + S), (batch, sample) */
    int32_t *labels;        /* (batch) */
} eval_t;

/* Logs the problem of a call that only describes it. */
static sgp_status_t refuse(sgp_status_t status, const char *problem) {
    return status == SGP_OK ? status : sgp_fail(status, "%s", problem);
}

static sgp_status_t find_name(eval_t *eval) {
    const char *said = tensor_file_text(&eval->file, "model"), *asked = eval->options->model;
    const char *path = eval->file.path;
    eval->name = asked ? asked : said;
    if (!eval->name)
        return sgp_fail(SGP_ERR_MISMATCH, "%s: does not name its model: give --model NAME", path);
    if (!model_known(eval->name))
        return sgp_fail(SGP_ERR_MISMATCH, "%s: holds a model %.64s; this program has %s", path,
                        eval->name, model_names());
    if (said && strcmp(said, eval->name) != 0)
        return sgp_fail(SGP_ERR_MISMATCH, "--model %s: %s holds a model %.64s", asked, path, said);
    return SGP_OK;
}

static sgp_status_t normalise(eval_t *eval, char problem[TENSOR_FILE_PROBLEM]) {
    dataset_t *dataset = eval->dataset;
    model_file_normalisation_t images = {dataset->shape.channels, dataset->mean,
                                         dataset->deviation};
    return refuse(model_file_normalise(&eval->file, &images, problem), problem);
}

static sgp_status_t make_model(eval_t *eval) {
    const dataset_shape_t *shape = &eval->dataset->shape;
    return model_create(&(model_options_t){.name = eval->name,
                                           .batch = eval->options->batch,
                                           .height = shape->height,
                                           .width = shape->width,
                                           .channels = shape->channels,
                                           .classes = shape->classes},
                        &eval->model);
}

static sgp_status_t allocate(eval_t *eval) {
    size_t batch = (size_t)eval->options->batch;
    size_t length = model_parameter_count(eval->model) + model_buffer_count(eval->model);
    loader_init(&eval->loader, &(loader_options_t){.dataset = eval->dataset});
    eval->vector = sgp_memory_alloc(length * sizeof *eval->vector);
    eval->images =
        sgp_memory_alloc(batch * loader_sample_floats(&eval->loader) * sizeof *eval->images);
    eval->labels = sgp_memory_alloc(batch * sizeof *eval->labels);
    if (eval->vector && eval->images && eval->labels) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "out of memory for %d samples and %zu parameters",
                    eval->options->batch, length);
}

static sgp_status_t prepare(eval_t *eval) {
    char problem[TENSOR_FILE_PROBLEM] = "";
    sgp_status_t status =
        refuse(tensor_file_open(eval->options->path, &eval->file, problem), problem);
    if (!status) status = refuse(tensor_file_check(&eval->file, problem), problem);
    if (status) return status == SGP_ERR_IO ? SGP_ERR_NOT_FOUND : status;
    tensor_file_note(&eval->file);
    status = find_name(eval);
    if (!status) status = dataset_load(eval->options->data, 0, &eval->dataset);
    if (!status) status = normalise(eval, problem);
    if (!status) status = make_model(eval);
    if (!status) status = allocate(eval);
    if (!status)
        status = refuse(model_file_read(&eval->file, eval->model, eval->vector, problem), problem);
    return status;
}

static void release(eval_t *eval) {
    sgp_memory_free(eval->labels);
    sgp_memory_free(eval->images);
    sgp_memory_free(eval->vector);
    model_destroy(eval->model);
    dataset_destroy(eval->dataset);
    tensor_file_close(&eval->file);
}

static sgp_status_t run(const eval_t *eval, evaluation_t *found) {
    evaluator_t evaluator = {.model = eval->model,
                             .loader = &eval->loader,
                             .batch = eval->options->batch,
                             .images = eval->images,
                             .labels = eval->labels};
    const float *buffers = eval->vector + model_parameter_count(eval->model);
    return evaluate(&evaluator, eval->vector, buffers, 0, eval->dataset->test.count, found);
}

sgp_status_t evaluate_file(const evaluate_file_options_t *options, evaluate_file_result_t *result) {
    eval_t eval = {.options = options, .file.descriptor = -1};
    evaluation_t found;
    sgp_status_t status = prepare(&eval);
    if (!status) status = run(&eval, &found);
    if (!status) {
        *result = (evaluate_file_result_t){
            .samples = found.count,
            .accuracy = (double)found.correct / (double)found.count,
            .loss = found.loss_sum / (double)found.count,
        };
        snprintf(result->model, sizeof result->model, "%s", eval.name);
    }
    release(&eval);
    return status;
}
