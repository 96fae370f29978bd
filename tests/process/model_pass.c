/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a model once on given numbers, for tests/process/torch_networks.py, which compares the
 * results with torch's.
 *
 *     model_pass MODEL BATCH SIDE CHANNELS CLASSES SMOOTHING WEIGHTS DIRECTORY
 *
 * reads WEIGHTS, a safetensors file, and DIRECTORY/batch: float32 images (BATCH, SIDE, SIDE,
 * CHANNELS), then int32 labels (BATCH). Writes into DIRECTORY: evaluated and trained, the logits
 * (BATCH, CLASSES) in float32; gradient.safetensors, which holds gradients under the names of
 * parameters, and batch norm's statistics after the step. Prints the sums of both losses. */
#include "files/model_file.h"

#include <sgp/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct inputs {
    model_options_t options;
    float *images;
    int32_t *labels;
} inputs_t;

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)rank, (void)user;
    fprintf(stderr, "model_pass: %s\n", line);
}

static void *make(size_t bytes) {
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory) abort();
    return memory;
}

static void copy_file(const char *directory, const char *name, const char *mode, void *bytes,
                      size_t count) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, mode);
    size_t done = 0;
    if (file) done = mode[0] == 'r' ? fread(bytes, 1, count, file) : fwrite(bytes, 1, count, file);
    if (!file || fclose(file) != 0 || done != count) {
        perror(path);
        exit(1);
    }
}

static void read_batch(const char *directory, inputs_t *inputs) {
    const model_options_t *o = &inputs->options;
    size_t batch = (size_t)o->batch;
    size_t image_bytes =
        batch * (size_t)o->height * (size_t)o->width * (size_t)o->channels * sizeof(float);
    size_t label_bytes = batch * sizeof(int32_t);
    char *bytes = make(image_bytes + label_bytes);
    copy_file(directory, "batch", "rb", bytes, image_bytes + label_bytes);
    inputs->images = make(image_bytes);
    inputs->labels = make(label_bytes);
    memcpy(inputs->images, bytes, image_bytes);
    memcpy(inputs->labels, bytes + image_bytes, label_bytes);
    free(bytes);
}

static sgp_status_t read_weights(const char *path, const model_t *model, float *vector) {
    char problem[TENSOR_FILE_PROBLEM] = "";
    tensor_file_t file;
    sgp_status_t status = tensor_file_open(path, &file, problem);
    if (!status) {
        status = model_file_read(&file, model, vector, problem);
        tensor_file_close(&file);
    }
    if (status) fprintf(stderr, "model_pass: %s\n", problem);
    return status;
}

static sgp_status_t run(const inputs_t *inputs, model_t *model, const char *weights,
                        const char *directory) {
    size_t parameters = model_parameter_count(model), buffers = model_buffer_count(model);
    size_t logits = (size_t)inputs->options.batch * (size_t)inputs->options.classes * sizeof(float);
    float *vector = make((parameters + buffers) * sizeof(float));
    float *found = make((parameters + buffers) * sizeof(float));
    float *statistics = found + parameters;
    model_result_t trained, evaluated;
    int batch = inputs->options.batch;
    sgp_status_t status = read_weights(weights, model, vector);
    if (status) goto free_both;
    memcpy(statistics, vector + parameters, buffers * sizeof(float));
    status = model_evaluate(model, vector, statistics, inputs->images, inputs->labels, batch,
                            &evaluated);
    if (status) goto free_both;
    copy_file(directory, "evaluated", "wb", (void *)model_logits(model), logits);
    status = model_train(model, vector, statistics, inputs->images, inputs->labels, batch, batch,
                         found, &trained);
    if (status) goto free_both;
    copy_file(directory, "trained", "wb", (void *)model_logits(model), logits);
    status = model_file_write(directory, "gradient.safetensors", model, found, NULL, 0);
    printf("%.17g %.17g\n", evaluated.loss_sum, trained.loss_sum);
free_both:
    free(vector);
    free(found);
    return status;
}

int main(int argc, char **argv) {
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    setenv("OMP_NUM_THREADS", "1", 1);
    if (argc != 9) return 2;
    int side = atoi(argv[3]);
    inputs_t inputs = {.options = {.name = argv[1],
                                   .batch = atoi(argv[2]),
                                   .height = side,
                                   .width = side,
                                   .channels = atoi(argv[4]),
                                   .classes = atoi(argv[5]),
                                   .label_smoothing = atof(argv[6])}};
    model_t *model;
    if (model_create(&inputs.options, &model)) return 1;
    read_batch(argv[8], &inputs);
    sgp_status_t status = run(&inputs, model, argv[7], argv[8]);
    free(inputs.images);
    free(inputs.labels);
    model_destroy(model);
    return status ? 1 : 0;
}
