/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tensors.h"

#include "base/logging.h"
#include "base/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A layer has at most a weight, a bias and two running statistics. */
enum { MAX_PER_LAYER = 4 };

static sgp_status_t append(tensors_t *tensors, const layer_t *layer, const char *suffix,
                           model_tensor_t tensor) {
    char *name = NULL;
    if (asprintf(&name, "%s.%s", layer->spec.name, suffix) < 0)
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for a name", layer->spec.name);
    tensor.name = name;
    if (tensor.dims == 0) {
        tensor.dims = 1;
        tensor.shape[0] = (int64_t)tensor.count;
    }
    tensors->list[tensors->count++] = tensor;
    return SGP_OK;
}

static sgp_status_t append_parameters(tensors_t *tensors, layer_t *layer) {
    bool norm = layer->spec.kind == LAYER_BATCH_NORM;
    model_tensor_t weight = {
        .offset = tensors->parameter_count, .count = layer->weight_count, .decays = !norm};
    if (layer->spec.kind == LAYER_CONVOLUTION) {
        weight.dims = 4;
        weight.shape[0] = layer->spec.channels;
        weight.shape[1] = layer->input->channels;
        weight.shape[2] = weight.shape[3] = layer->spec.kernel;
    } else if (layer->spec.kind == LAYER_DENSE) {
        weight.dims = 2;
        weight.shape[0] = layer->spec.channels;
        weight.shape[1] = (int64_t)layer->weight_count / layer->spec.channels;
    }
    model_tensor_t bias = {
        .offset = weight.offset + weight.count, .count = layer->bias_count, .decays = !norm};
    layer->weight = weight.offset;
    layer->bias = bias.offset;
    tensors->parameter_count = bias.offset + bias.count;
    sgp_status_t status = weight.count ? append(tensors, layer, "weight", weight) : SGP_OK;
    if (!status && bias.count) status = append(tensors, layer, "bias", bias);
    return status;
}

static sgp_status_t append_buffers(tensors_t *tensors, layer_t *layer) {
    if (!layer->buffer_count) return SGP_OK;
    size_t half = layer->buffer_count / 2;
    model_tensor_t mean = {.offset = tensors->buffer_count, .count = half, .is_buffer = true};
    model_tensor_t variance = mean;
    variance.offset += half;
    layer->buffers = mean.offset;
    tensors->buffer_count += layer->buffer_count;
    sgp_status_t status = append(tensors, layer, "running_mean", mean);
    return status ? status : append(tensors, layer, "running_var", variance);
}

sgp_status_t tensors_init(tensors_t *tensors, layer_t *layers, int layer_count) {
    *tensors = (tensors_t){0};
    tensors->list = calloc((size_t)layer_count * MAX_PER_LAYER, sizeof *tensors->list);
    if (!tensors->list) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the list of tensors");
    sgp_status_t status = SGP_OK;
    for (int i = 0; i < layer_count && !status; i++)
        status = append_parameters(tensors, &layers[i]);
    for (int i = 0; i < layer_count && !status; i++) status = append_buffers(tensors, &layers[i]);
    if (status) tensors_fini(tensors);
    return status;
}

void tensors_fini(tensors_t *tensors) {
    for (size_t i = 0; i < tensors->count; i++) free((char *)tensors->list[i].name);
    free(tensors->list);
    *tensors = (tensors_t){0};
}

static void fill(float *values, size_t count, float value) {
    for (size_t i = 0; i < count; i++) values[i] = value;
}

/* Variance 2 / inputs keeps the size of activations through a layer and its ReLU (He et al. 2015),
 * variance 2 / outputs that of their gradients. The last layer of a network that starts by FAN_IN
 * has a deviation of 0.01, so that all classes are about equally likely (Goyal et al. 2017, section
 * 5.1): larger logits make the first steps at a high rate too long. */
static double deviation_of(const layer_t *layer, bool last) {
    size_t inputs = layer->weight_count / (size_t)layer->spec.channels;
    if (layer->spec.initial == LAYER_INITIAL_FAN_IN)
        return last ? 0.01 : sqrt(2.0 / (double)inputs);
    int kernel = layer->spec.kernel;
    return sqrt(2.0 / ((double)layer->spec.channels * kernel * kernel));
}

static void draw_normal(sgp_random_t *random, double deviation, size_t count, float *values) {
    for (size_t i = 0; i < count; i++) values[i] = (float)(deviation * sgp_random_normal(random));
}

static void draw_uniform(sgp_random_t *random, double bound, size_t count, float *values) {
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(bound * (2.0 * sgp_random_double(random) - 1.0));
}

/* Each layer draws from its own random stream. */
static void draw_affine(const layer_t *layer, int index, bool last, uint64_t seed, float *weight,
                        float *bias) {
    sgp_random_t random;
    sgp_random_init(&random, seed, (uint64_t)index);
    if (layer->spec.initial != LAYER_INITIAL_UNIFORM) {
        draw_normal(&random, deviation_of(layer, last), layer->weight_count, weight);
        fill(bias, layer->bias_count, 0.0f);
        return;
    }
    double inputs = (double)layer->weight_count / (double)layer->spec.channels;
    draw_uniform(&random, 1.0 / sqrt(inputs), layer->weight_count, weight);
    draw_uniform(&random, 1.0 / sqrt(inputs), layer->bias_count, bias);
}

static void set_batch_norm(const layer_t *layer, float *parameters, float *buffers) {
    size_t half = layer->buffer_count / 2;
    fill(parameters + layer->weight, layer->weight_count, layer->spec.zero_scale ? 0.0f : 1.0f);
    fill(parameters + layer->bias, layer->bias_count, 0.0f);
    fill(buffers + layer->buffers, half, 0.0f);
    fill(buffers + layer->buffers + half, half, 1.0f);
}

void tensors_set_initial(const layer_t *layers, int layer_count, uint64_t seed, float *parameters,
                         float *buffers) {
    for (int i = 0; i < layer_count; i++) {
        const layer_t *layer = &layers[i];
        if (layer->spec.kind == LAYER_BATCH_NORM) set_batch_norm(layer, parameters, buffers);
        else if (layer->weight_count)
            draw_affine(layer, i, i == layer_count - 1, seed, parameters + layer->weight,
                        parameters + layer->bias);
    }
}
