/* SPDX-License-Identifier: Apache-2.0 */
#include "run/evaluate_file.h"

#include "base/logging.h"
#include "base/memory.h"
#include "data/dataset.h"
#include "data/source.h"
#include "files/model_file.h"
#include "run/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NULL: not made yet. */
typedef struct eval {
    const evaluate_file_options_t *options;
    tensor_file_t file;
    const char *name; /* of the model */
    feed_t *feed;
    model_t *model;
    float *vector; /* (P + S) */
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

/* Of pictures the size that the model was trained with, unless another is asked for. */
static int find_size(const eval_t *eval) {
    const char *said = tensor_file_text(&eval->file, MODEL_FILE_IMAGE_SIZE);
    long size = said ? strtol(said, NULL, 10) : 0;
    return eval->options->image_size > 0 ? eval->options->image_size
           : size > 0 && size < 65536    ? (int)size
                                         : 0;
}

static sgp_status_t open_data(eval_t *eval) {
    bool pictures;
    const char *format;
    sgp_status_t status = source_find(eval->options->data, &format, &pictures);
    if (status) return status;
    return feed_create(
        &(feed_options_t){.data = eval->options->data,
                          .image_size = pictures ? find_size(eval) : eval->options->image_size,
                          .batch = eval->options->batch,
                          .size = 1,
                          .skip_bad = true},
        &eval->feed);
}

static sgp_status_t normalise(eval_t *eval, char problem[TENSOR_FILE_PROBLEM]) {
    int channels = feed_shape(eval->feed)->channels;
    float mean[DATASET_MAX_CHANNELS], deviation[DATASET_MAX_CHANNELS];
    memcpy(mean, feed_mean(eval->feed), (size_t)channels * sizeof *mean);
    memcpy(deviation, feed_deviation(eval->feed), (size_t)channels * sizeof *deviation);
    model_file_normalisation_t images = {channels, mean, deviation};
    sgp_status_t status = model_file_normalise(&eval->file, &images, problem);
    if (!status) feed_normalise(eval->feed, mean, deviation);
    return refuse(status, problem);
}

static sgp_status_t make_model(eval_t *eval) {
    const feed_shape_t *shape = feed_shape(eval->feed);
    return model_create(&(model_options_t){.name = eval->name,
                                           .batch = eval->options->batch,
                                           .height = shape->height,
                                           .width = shape->width,
                                           .channels = shape->channels,
                                           .classes = shape->classes},
                        &eval->model);
}

static sgp_status_t allocate(eval_t *eval) {
    size_t length = model_parameter_count(eval->model) + model_buffer_count(eval->model);
    eval->vector = sgp_memory_alloc(length * sizeof *eval->vector);
    if (eval->vector) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "out of memory for %zu parameters", length);
}

static sgp_status_t prepare(eval_t *eval) {
    char problem[TENSOR_FILE_PROBLEM] = "";
    sgp_status_t status =
        refuse(tensor_file_open(eval->options->path, &eval->file, problem), problem);
    if (!status) status = refuse(tensor_file_check(&eval->file, problem), problem);
    if (status) return status == SGP_ERR_IO ? SGP_ERR_NOT_FOUND : status;
    tensor_file_note(&eval->file);
    status = find_name(eval);
    if (!status) status = open_data(eval);
    if (!status) status = normalise(eval, problem);
    if (!status) status = make_model(eval);
    if (!status) status = allocate(eval);
    if (!status)
        status = refuse(model_file_read(&eval->file, eval->model, eval->vector, problem), problem);
    return status;
}

static void release(eval_t *eval) {
    sgp_memory_free(eval->vector);
    model_destroy(eval->model);
    feed_destroy(eval->feed);
    tensor_file_close(&eval->file);
}

static sgp_status_t run(const eval_t *eval, evaluation_t *found) {
    evaluate_values_t values = {eval->vector, eval->vector + model_parameter_count(eval->model)};
    return evaluate(eval->feed, eval->model, &values, 1, 0, feed_shape(eval->feed)->test_count,
                    found);
}

sgp_status_t evaluate_file(const evaluate_file_options_t *options, evaluate_file_result_t *result) {
    eval_t eval = {.options = options, .file.descriptor = -1};
    evaluation_t found;
    sgp_status_t status = prepare(&eval);
    if (!status) status = run(&eval, &found);
    if (!status) {
        *result = (evaluate_file_result_t){
            .samples = found.count,
            .left_out = found.left_out,
            .accuracy = (double)found.correct / (double)found.count,
            .accuracy5 = (double)found.correct5 / (double)found.count,
            .loss = found.loss_sum / (double)found.count,
        };
        snprintf(result->model, sizeof result->model, "%s", eval.name);
    }
    release(&eval);
    return status;
}
