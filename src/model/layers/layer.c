/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers/layer.h"

#include "base/logging.h"
#include "model/layers/relu.h"

size_t value_count(const value_t *value) {
    return (size_t)value->batch * (size_t)value->height * (size_t)value->width *
           (size_t)value->channels;
}

size_t value_bytes(const value_t *value) {
    return value_count(value) * element_bytes(value->element);
}

size_t value_gradient_bytes(const value_t *value) {
    return value_count(value) * element_bytes(value->gradient_element);
}

bool layer_keeps_input(const layer_t *layer) {
    switch (layer->spec.kind) {
    case LAYER_CONVOLUTION:
    case LAYER_DENSE:
    case LAYER_BATCH_NORM:
    case LAYER_MAX_POOL:
        return true;
    case LAYER_AVERAGE_POOL:
    case LAYER_RELU:
        return false;
    }
    return true;
}

/* A batch norm without a residual computes the mask of its ReLU from its input. */
bool layer_keeps_output(const layer_t *layer) {
    switch (layer->spec.kind) {
    case LAYER_MAX_POOL:
    case LAYER_RELU:
        return true;
    case LAYER_BATCH_NORM:
        return layer->residual && layer->spec.relu;
    case LAYER_CONVOLUTION:
    case LAYER_DENSE:
    case LAYER_AVERAGE_POOL:
        return false;
    }
    return true;
}

static int pixels(const value_t *value) {
    return value->height * value->width;
}

/* Convolutions, max pooling: the output's height and width. */
static sgp_status_t infer_window(layer_t *layer) {
    const layer_spec_t *spec = &layer->spec;
    const value_t *input = layer->input;
    int height = input->height + 2 * spec->padding - spec->kernel;
    int width = input->width + 2 * spec->padding - spec->kernel;
    if (height < 0 || width < 0)
        return sgp_fail(SGP_ERR_INVALID,
                        "%s: an image of %d x %d pixels is too small for a window of %d",
                        spec->name, input->height, input->width, spec->kernel);
    layer->output->height = height / spec->stride + 1;
    layer->output->width = width / spec->stride + 1;
    return SGP_OK;
}

static sgp_status_t infer_convolution(layer_t *layer) {
    const layer_spec_t *spec = &layer->spec;
    layer->output->channels = spec->channels;
    layer->weight_count = (size_t)spec->channels * (size_t)layer->input->channels *
                          (size_t)spec->kernel * (size_t)spec->kernel;
    layer->bias_count = spec->bias ? (size_t)spec->channels : 0;
    return infer_window(layer);
}

static sgp_status_t infer_dense(layer_t *layer) {
    const layer_spec_t *spec = &layer->spec;
    layer->output->height = layer->output->width = 1;
    layer->output->channels = spec->channels;
    layer->weight_count =
        (size_t)spec->channels * (size_t)pixels(layer->input) * (size_t)layer->input->channels;
    layer->bias_count = spec->bias ? (size_t)spec->channels : 0;
    return SGP_OK;
}

static sgp_status_t infer_batch_norm(layer_t *layer) {
    size_t channels = (size_t)layer->input->channels;
    layer->weight_count = layer->bias_count = channels;
    layer->buffer_count = 2 * channels;
    if (!layer->residual || (layer->residual->height == layer->input->height &&
                             layer->residual->width == layer->input->width &&
                             layer->residual->channels == layer->input->channels))
        return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "%s: the residual has another shape", layer->spec.name);
}

sgp_status_t layer_infer(layer_t *layer) {
    value_t *output = layer->output;
    output->batch = layer->input->batch;
    output->height = layer->input->height;
    output->width = layer->input->width;
    output->channels = layer->input->channels;
    switch (layer->spec.kind) {
    case LAYER_CONVOLUTION:
        return infer_convolution(layer);
    case LAYER_DENSE:
        return infer_dense(layer);
    case LAYER_BATCH_NORM:
        return infer_batch_norm(layer);
    case LAYER_MAX_POOL:
        return infer_window(layer);
    case LAYER_AVERAGE_POOL:
        output->height = output->width = 1;
        return SGP_OK;
    case LAYER_RELU:
        return SGP_OK;
    }
    return sgp_fail(SGP_ERR_INVALID, "%s: no such kind of layer: %d", layer->spec.name,
                    (int)layer->spec.kind);
}

static sgp_status_t init_affine(layer_t *layer, engine_t *engine) {
    const layer_spec_t *spec = &layer->spec;
    const value_t *input = layer->input, *output = layer->output;
    affine_options_t options = {
        .name = spec->name,
        .batch = input->batch,
        .in_channels = input->channels,
        .in_height = input->height,
        .in_width = input->width,
        .out_channels = output->channels,
        .out_height = output->height,
        .out_width = output->width,
        .kernel = spec->kind == LAYER_DENSE ? 0 : spec->kernel,
        .stride = spec->stride,
        .padding = spec->padding,
        .bias = spec->bias,
        .input_gradient = spec->input != 0,
        .element = input->element,
        .output = output->element,
    };
    return affine_create(engine, &options, &layer->affine);
}

static void init_pooling(layer_t *layer) {
    const layer_spec_t *spec = &layer->spec;
    const value_t *input = layer->input, *output = layer->output;
    layer->pooling = (pooling_t){.batch = input->batch,
                                 .height = input->height,
                                 .width = input->width,
                                 .channels = input->channels,
                                 .out_height = output->height,
                                 .out_width = output->width,
                                 .kernel = spec->kernel,
                                 .stride = spec->stride,
                                 .padding = spec->padding,
                                 .relu = spec->relu,
                                 .element = input->element};
}

sgp_status_t layer_init(layer_t *layer, arena_t *arena, engine_t *engine) {
    const value_t *input = layer->input;
    switch (layer->spec.kind) {
    case LAYER_CONVOLUTION:
    case LAYER_DENSE:
        return init_affine(layer, engine);
    case LAYER_BATCH_NORM:
        return batch_norm_init(
            &layer->norm, arena,
            &(batch_norm_options_t){.rows = (size_t)input->batch * (size_t)pixels(input),
                                    .channels = input->channels,
                                    .relu = layer->spec.relu,
                                    .element = input->element});
    case LAYER_MAX_POOL:
    case LAYER_AVERAGE_POOL:
        init_pooling(layer);
        return SGP_OK;
    case LAYER_RELU:
        return SGP_OK;
    }
    return SGP_ERR_INVALID;
}

void layer_fini(layer_t *layer) {
    affine_destroy(layer->affine);
    layer->affine = NULL;
}

static void forward_batch_norm(layer_t *layer, const pass_t *pass) {
    size_t channels = (size_t)layer->input->channels;
    const float *scale = pass->parameters + layer->weight, *shift = pass->parameters + layer->bias;
    const void *residual = layer->residual ? layer->residual->data : NULL;
    if (pass->training) {
        float *running = pass->buffers + layer->buffers;
        batch_norm_train(&layer->norm, layer->input->data, scale, shift, residual,
                         layer->output->storage, running, running + channels);
    } else {
        const float *running = pass->running_buffers + layer->buffers;
        batch_norm_evaluate(&layer->norm, layer->input->data, scale, shift, residual,
                            layer->output->storage, running, running + channels);
    }
}

sgp_status_t layer_forward(layer_t *layer, const pass_t *pass) {
    const value_t *input = layer->input;
    void *output = layer->output->storage;
    switch (layer->spec.kind) {
    case LAYER_CONVOLUTION:
    case LAYER_DENSE:
        return affine_forward(layer->affine, input->data, pass->parameters + layer->weight,
                              pass->parameters + layer->bias, output);
    case LAYER_BATCH_NORM:
        forward_batch_norm(layer, pass);
        return SGP_OK;
    case LAYER_MAX_POOL:
        pooling_max_forward(&layer->pooling, input->data, output);
        return SGP_OK;
    case LAYER_AVERAGE_POOL:
        pooling_average_forward(&layer->pooling, input->data, output);
        return SGP_OK;
    case LAYER_RELU:
        relu_forward(input->element, value_count(input), input->data, output);
        return SGP_OK;
    }
    return SGP_ERR_INVALID;
}

static void backward_batch_norm(layer_t *layer, const pass_t *pass) {
    batch_norm_gradients_t gradients = {
        .d_y = layer->output->gradients[0],
        .d_y_more = layer->output->gradients[1],
        .keep_residual = layer->residual != NULL,
        .d_x = layer->d_input,
        .d_scale = pass->gradient + layer->weight,
        .d_shift = pass->gradient + layer->bias,
    };
    batch_norm_backward(&layer->norm, layer->input->data, layer->output->data, &gradients);
}

sgp_status_t layer_backward(layer_t *layer, const pass_t *pass) {
    const value_t *input = layer->input, *output = layer->output;
    void *d_output = output->gradients[0];
    /* Batch norm adds up its readers' gradients on the fly; for the others it is done here. */
    if (output->gradients[1] && layer->spec.kind != LAYER_BATCH_NORM)
        gradient_add(output->gradient_element, value_count(output), output->gradients[1], d_output);
    switch (layer->spec.kind) {
    case LAYER_CONVOLUTION:
    case LAYER_DENSE:
        return affine_backward(layer->affine, input->data, pass->parameters + layer->weight,
                               d_output, pass->gradient + layer->weight,
                               pass->gradient + layer->bias, layer->d_input);
    case LAYER_BATCH_NORM:
        backward_batch_norm(layer, pass);
        return SGP_OK;
    case LAYER_MAX_POOL:
        pooling_max_backward(&layer->pooling, input->data, output->data, d_output, layer->d_input);
        return SGP_OK;
    case LAYER_AVERAGE_POOL:
        pooling_average_backward(&layer->pooling, d_output, layer->d_input);
        return SGP_OK;
    case LAYER_RELU:
        relu_backward(output->element, value_count(output), output->data, d_output, layer->d_input);
        return SGP_OK;
    }
    return SGP_ERR_INVALID;
}
