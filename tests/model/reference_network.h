/* SPDX-License-Identifier: Apache-2.0 */
/* A whole network run by the naive layers of reference.h, in double precision. It reads the same
 * list of layers as the model, and lays out the flat vectors from their description alone: layers
 * in running order, a weight before its bias. */
#ifndef SGP_TESTS_MODEL_REFERENCE_NETWORK_H
#define SGP_TESTS_MODEL_REFERENCE_NETWORK_H

#include "reference.h"

#include "model/models/models.h"

typedef struct reference_value {
    int height, width, channels;
    size_t count;
    double *data, *gradient;
} reference_value_t;

typedef struct reference_network {
    network_t network;
    int batch, classes;
    bool training;
    const double *parameters, *buffers;
    double *d_parameters; /* NULL: forward only */
    reference_value_t values[NETWORK_MAX_LAYERS + 1];
    size_t offset[NETWORK_MAX_LAYERS]; /* of each layer in parameters */
    reference_norm_t norms[NETWORK_MAX_LAYERS];
} reference_network_t;

static UNUSED affine_options_t reference_options(const reference_network_t *r, int layer) {
    const layer_spec_t *spec = &r->network.layers[layer];
    const reference_value_t *in = &r->values[spec->input], *out = &r->values[layer + 1];
    return (affine_options_t){.batch = r->batch,
                              .in_channels = in->channels,
                              .in_height = in->height,
                              .in_width = in->width,
                              .out_channels = out->channels,
                              .out_height = out->height,
                              .out_width = out->width,
                              .kernel = spec->kind == LAYER_DENSE ? 0 : spec->kernel,
                              .stride = spec->stride,
                              .padding = spec->padding,
                              .bias = spec->bias};
}

static UNUSED pooling_t reference_pooling(const reference_network_t *r, int layer) {
    const layer_spec_t *spec = &r->network.layers[layer];
    const reference_value_t *in = &r->values[spec->input], *out = &r->values[layer + 1];
    return (pooling_t){.batch = r->batch,
                       .height = in->height,
                       .width = in->width,
                       .channels = in->channels,
                       .out_height = out->height,
                       .out_width = out->width,
                       .kernel = spec->kernel,
                       .stride = spec->stride,
                       .padding = spec->padding,
                       .relu = spec->relu};
}

static UNUSED void reference_shape(reference_network_t *r, int layer) {
    const layer_spec_t *spec = &r->network.layers[layer];
    const reference_value_t *in = &r->values[spec->input];
    reference_value_t *out = &r->values[layer + 1];
    *out = (reference_value_t){in->height, in->width, in->channels, 0, NULL, NULL};
    if (spec->kind == LAYER_CONVOLUTION || spec->kind == LAYER_MAX_POOL) {
        out->height = (in->height + 2 * spec->padding - spec->kernel) / spec->stride + 1;
        out->width = (in->width + 2 * spec->padding - spec->kernel) / spec->stride + 1;
    }
    if (spec->kind == LAYER_DENSE || spec->kind == LAYER_AVERAGE_POOL) out->height = out->width = 1;
    if (spec->kind == LAYER_DENSE || spec->kind == LAYER_CONVOLUTION)
        out->channels = spec->channels;
    out->count = (size_t)(r->batch * out->height * out->width * out->channels);
    out->data = make_doubles(out->count);
    out->gradient = make_doubles(out->count);
}

static UNUSED void reference_network_init(reference_network_t *r, const char *name, int batch,
                                          int height, int width, int channels, int classes) {
    memset(r, 0, sizeof *r);
    r->batch = batch;
    r->classes = classes;
    assert_true(models_build(&r->network, name, classes));
    r->values[0] = (reference_value_t){
        height, width, channels, (size_t)(batch * height * width * channels), NULL, NULL};
    size_t offset = 0;
    for (int i = 0; i < r->network.count; i++) {
        reference_shape(r, i);
        layer_kind_t kind = r->network.layers[i].kind;
        r->offset[i] = offset;
        int out = r->values[i + 1].channels;
        if (kind == LAYER_CONVOLUTION || kind == LAYER_DENSE) {
            affine_options_t o = reference_options(r, i);
            offset += affine_sizes(&o).weight + (o.bias ? (size_t)out : 0);
        } else if (kind == LAYER_BATCH_NORM) {
            offset += 2 * (size_t)out;
            r->norms[i] = (reference_norm_t){r->values[i + 1].count / (size_t)out, out,
                                             r->network.layers[i].relu, make_doubles((size_t)out),
                                             make_doubles((size_t)out)};
        }
    }
}

static UNUSED void reference_network_fini(reference_network_t *r) {
    for (int i = 0; i < r->network.count; i++) {
        free(r->values[i + 1].data);
        free(r->values[i + 1].gradient);
        free(r->norms[i].mean);
        free(r->norms[i].variance);
    }
    free(r->values[0].data);
}

static UNUSED void reference_layer_forward(reference_network_t *r, int layer, size_t *buffer) {
    const layer_spec_t *spec = &r->network.layers[layer];
    const reference_value_t *in = &r->values[spec->input];
    reference_value_t *out = &r->values[layer + 1];
    const double *weight = r->parameters + r->offset[layer];
    affine_options_t o = reference_options(r, layer);
    pooling_t pooling = reference_pooling(r, layer);
    size_t channels = (size_t)in->channels, pixels = (size_t)(in->height * in->width);
    reference_norm_t *norm = &r->norms[layer];
    switch (spec->kind) {
    case LAYER_CONVOLUTION:
    case LAYER_DENSE:
        reference_affine_forward(&o, in->data, weight, weight + affine_sizes(&o).weight, out->data);
        break;
    case LAYER_RELU:
        for (size_t i = 0; i < in->count; i++) out->data[i] = fmax(in->data[i], 0.0);
        break;
    case LAYER_BATCH_NORM:
        if (r->training) {
            reference_norm_moments(norm, in->data);
        } else {
            memcpy(norm->mean, r->buffers + *buffer, channels * sizeof(double));
            memcpy(norm->variance, r->buffers + *buffer + channels, channels * sizeof(double));
        }
        *buffer += 2 * channels;
        reference_norm_forward(norm, in->data, weight, weight + channels,
                               spec->residual ? r->values[spec->residual].data : NULL, out->data);
        break;
    case LAYER_MAX_POOL:
        reference_max_pool(&pooling, in->data, out->data, NULL, NULL);
        break;
    case LAYER_AVERAGE_POOL:
        memset(out->data, 0, out->count * sizeof(double));
        for (size_t i = 0; i < in->count; i++)
            out->data[i / (pixels * channels) * channels + i % channels] +=
                in->data[i] / (double)pixels;
        break;
    }
}

static UNUSED void reference_add(double *sum, const double *added, size_t count) {
    for (size_t i = 0; sum && i < count; i++) sum[i] += added[i];
}

/* Adds to the gradients of the layer's inputs. */
static UNUSED void reference_layer_backward(reference_network_t *r, int layer) {
    const layer_spec_t *spec = &r->network.layers[layer];
    const reference_value_t *in = &r->values[spec->input], *out = &r->values[layer + 1];
    const double *weight = r->parameters + r->offset[layer], *dy = out->gradient;
    double *d_weight = r->d_parameters + r->offset[layer];
    double *dx = make_doubles(in->count), *g = make_doubles(out->count);
    affine_options_t o = reference_options(r, layer);
    pooling_t pooling = reference_pooling(r, layer);
    size_t channels = (size_t)in->channels, pixels = (size_t)(in->height * in->width);
    switch (spec->kind) {
    case LAYER_CONVOLUTION:
    case LAYER_DENSE:
        reference_affine_backward(&o, in->data, weight, dy, d_weight,
                                  d_weight + affine_sizes(&o).weight, dx);
        break;
    case LAYER_RELU:
        for (size_t i = 0; i < in->count; i++) dx[i] = out->data[i] > 0.0 ? dy[i] : 0.0;
        break;
    case LAYER_BATCH_NORM:
        reference_norm_backward(&r->norms[layer], in->data, out->data, weight, dy, g, dx, d_weight,
                                d_weight + channels);
        if (spec->residual) reference_add(r->values[spec->residual].gradient, g, out->count);
        break;
    case LAYER_MAX_POOL:
        reference_max_pool(&pooling, in->data, out->data, dy, dx);
        break;
    case LAYER_AVERAGE_POOL:
        for (size_t i = 0; i < in->count; i++)
            dx[i] = dy[i / (pixels * channels) * channels + i % channels] / (double)pixels;
        break;
    }
    reference_add(in->gradient, dx, in->count);
    free(dx), free(g);
}

/* The mean loss over the first `valid` samples; with d_parameters set, its gradient too. */
static UNUSED double reference_network_run(reference_network_t *r, const float *images,
                                           const int32_t *labels, int valid) {
    free(r->values[0].data);
    r->values[0].data = to_doubles(images, r->values[0].count);
    size_t buffer = 0;
    int layers = r->network.count;
    for (int i = 0; i < layers; i++) {
        reference_layer_forward(r, i, &buffer);
        memset(r->values[i + 1].gradient, 0, r->values[i + 1].count * sizeof(double));
    }
    double loss = reference_loss(r->batch, valid, r->classes, r->values[layers].data, labels,
                                 r->values[layers].gradient);
    for (int i = layers - 1; r->d_parameters && i >= 0; i--) reference_layer_backward(r, i);
    return loss;
}

#endif
