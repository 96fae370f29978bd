/* SPDX-License-Identifier: Apache-2.0 */
#include "run/initial.h"

#include "base/logging.h"

#include <math.h>

/* Logs the problem of a call that only describes it. A file that cannot be read is a user's
 * mistake, as one that is not there. */
static sgp_status_t refuse(sgp_status_t status, const char *problem) {
    if (status == SGP_OK) return SGP_OK;
    return sgp_fail(status == SGP_ERR_IO ? SGP_ERR_NOT_FOUND : status, "init: %s", problem);
}

static sgp_status_t check_file(const tensor_file_t *file, const model_t *model, char *problem) {
    sgp_status_t status = model_file_fits(file, model, problem);
    return status ? status : tensor_file_check(file, problem);
}

sgp_status_t initial_check(const train_options_t *options, const model_t *model) {
    char problem[TENSOR_FILE_PROBLEM] = "";
    tensor_file_t file;
    if (!options->init) return SGP_OK;
    sgp_status_t status = tensor_file_open(options->init, &file, problem);
    if (status) return refuse(status, problem);
    status = check_file(&file, model, problem);
    tensor_file_close(&file);
    return refuse(status, problem);
}

/* Of the vector (P + S). */
static sgp_status_t check_finite(const char *path, const model_t *model, const float *vector) {
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const model_tensor_t *tensor = model_tensor(model, i);
        size_t start = tensor->offset + (tensor->is_buffer ? model_parameter_count(model) : 0);
        for (size_t j = start; j < start + tensor->count; j++)
            if (!isfinite(vector[j]))
                return sgp_fail(SGP_ERR_FORMAT, "init: %s: tensor %s holds %g: must be finite",
                                path, tensor->name, (double)vector[j]);
    }
    return SGP_OK;
}

sgp_status_t initial_load(const train_options_t *options, replica_t *replica) {
    char problem[TENSOR_FILE_PROBLEM] = "";
    tensor_file_t file;
    if (!options->init) return SGP_OK;
    sgp_status_t status = tensor_file_open(options->init, &file, problem);
    if (status) return refuse(status, problem);
    status = check_file(&file, replica->model, problem);
    if (!status) status = model_file_read(&file, replica->model, replica->average, problem);
    tensor_file_close(&file);
    if (status) return refuse(status, problem);
    status = check_finite(options->init, replica->model, replica->average);
    if (status) return status;
    size_t length = replica->parameters + replica->buffers;
    content_hash_of(replica->average, length * sizeof *replica->average, replica->initial_hash);
    return SGP_OK;
}
