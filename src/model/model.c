/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include "base/clock.h"
#include "base/logging.h"
#include "model/layers/layer_kernels.h"
#include "model/layers/layer.h"
#include "model/layers/loss.h"
#include "model/models/models.h"
#include "model/plan.h"
#include "model/tensors.h"

#include <stdlib.h>
#include <string.h>

struct model {
    int batch, classes;
    double label_smoothing;
    size_t image_floats; /* of one image */
    int layer_count;
    layer_t *layers; /* (layer_count) in running order */
    value_t *values; /* (layer_count + 1) value 0 is the images, the last one the logits */
    /* (batch, height, width, channels) for calls with fewer than `batch` images or in bfloat16 */
    void *images;
    model_precision_t precision; /* MODEL_FLOAT32 or MODEL_BFLOAT16 */
    float *d_logits;             /* (batch, classes) before they are rounded; NULL in float32 */
    tensors_t tensors;
    engine_t *engine;
    arena_t arena;
    model_memory_t memory; /* parts of the arena */
};

enum { MAX_EXTENT = 1 << 15 }; /* of an extent: a product of two fits an int */
enum { MAX_THREADS = 1024 };

static sgp_status_t check_options(const model_options_t *options) {
    const struct {
        const char *name;
        int value, least, most;
    } ranges[] = {{"batch", options->batch, 1, MAX_EXTENT},
                  {"height", options->height, 1, MAX_EXTENT},
                  {"width", options->width, 1, MAX_EXTENT},
                  {"channels", options->channels, 1, MAX_EXTENT},
                  {"classes", options->classes, 2, MAX_EXTENT},
                  {"number of threads", options->threads, 0, MAX_THREADS}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < ranges[i].least || ranges[i].value > ranges[i].most)
            return sgp_fail(SGP_ERR_INVALID, "a model's %s is %d, it must be from %d to %d",
                            ranges[i].name, ranges[i].value, ranges[i].least, ranges[i].most);
    if (!(options->label_smoothing >= 0.0 && options->label_smoothing <= 1.0))
        return sgp_fail(SGP_ERR_INVALID, "a model's label smoothing is %g, it must be from 0 to 1",
                        options->label_smoothing);
    return SGP_OK;
}

/* Sets the precision in use. SGP_BFLOAT16=any: a test wants it wherever oneDNN computes it, though
 * slowly. */
static sgp_status_t choose_precision(model_t *m, model_precision_t wanted) {
    const char *any = getenv("SGP_BFLOAT16");
    bool has = engine_has_bfloat16() || (any && !strcmp(any, "any"));
    if ((unsigned)wanted > MODEL_AUTO)
        return sgp_fail(SGP_ERR_INVALID, "there is no precision %d", (int)wanted);
    if (wanted == MODEL_BFLOAT16 && !has)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "this CPU does not compute in bfloat16, which needs avx512_bf16 or AMX; "
                        "use float32, or auto");
    m->precision = wanted != MODEL_FLOAT32 && has ? MODEL_BFLOAT16 : MODEL_FLOAT32;
    return SGP_OK;
}

/* Makes the layers and values, and connects each layer to the values that it reads. */
static sgp_status_t connect(model_t *m, const network_t *network) {
    m->layer_count = network->count;
    m->layers = calloc((size_t)network->count, sizeof *m->layers);
    m->values = calloc((size_t)network->count + 1, sizeof *m->values);
    if (!m->layers || !m->values)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d layers", network->count);
    for (int i = 0; i < network->count; i++) {
        layer_t *layer = &m->layers[i];
        layer->spec = network->layers[i];
        layer->input = &m->values[layer->spec.input];
        layer->input->readers++;
        layer->residual = layer->spec.residual ? &m->values[layer->spec.residual] : NULL;
        if (layer->residual) layer->residual->readers++;
        layer->output = &m->values[i + 1];
    }
    return SGP_OK;
}

static sgp_status_t build_network(model_t *m, const model_options_t *options) {
    network_t *network = calloc(1, sizeof *network);
    if (!network) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a list of layers");
    sgp_status_t status;
    if (options->name && models_build(network, options->name, options->classes))
        status = connect(m, network);
    else
        status = sgp_fail(SGP_ERR_INVALID, "there is no model \"%s\"; there are %s",
                          options->name ? options->name : "", models_names());
    free(network);
    return status;
}

/* All of a network is in one precision, but for the logits, from which the loss is computed. */
static void set_elements(model_t *m) {
    element_t element = m->precision == MODEL_BFLOAT16 ? ELEMENT_BFLOAT16 : ELEMENT_FLOAT32;
    for (int i = 0; i <= m->layer_count; i++)
        m->values[i].element = m->values[i].gradient_element = element;
    m->values[m->layer_count].element = ELEMENT_FLOAT32;
}

static sgp_status_t allocate_inputs(model_t *m) {
    m->images = arena_alloc(&m->arena, value_bytes(&m->values[0]));
    bool complete = m->images != NULL;
    if (m->precision == MODEL_BFLOAT16) {
        m->d_logits = arena_floats(&m->arena, value_count(&m->values[m->layer_count]));
        complete = complete && m->d_logits;
    }
    return complete ? SGP_OK : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a batch of images");
}

/* Allocates everything, and notes the bytes of each part. What the last chunk has left counts as
 * gradients. */
static sgp_status_t allocate(model_t *m, int threads) {
    arena_t *arena = &m->arena;
    sgp_status_t status = engine_create(arena, threads, &m->engine);
    for (int i = 0; i < m->layer_count && !status; i++)
        status = layer_init(&m->layers[i], arena, m->engine);
    size_t weights = arena_taken(arena);
    if (!status) status = engine_allocate_scratchpad(m->engine);
    size_t before_values = arena_taken(arena), shared = 0;
    if (!status) status = allocate_inputs(m);
    if (!status) status = plan_memory(m->layers, m->values, m->layer_count, arena, &shared);
    size_t rest = arena->bytes - arena_taken(arena);
    m->memory = (model_memory_t){.weights = weights,
                                 .scratchpad = before_values - weights,
                                 .activations = arena_taken(arena) - before_values - shared,
                                 .gradients = shared + rest};
    return status;
}

static sgp_status_t build(model_t *m, const model_options_t *options) {
    sgp_status_t status = build_network(m, options);
    if (status) return status;
    m->batch = options->batch;
    m->classes = options->classes;
    m->label_smoothing = options->label_smoothing;
    m->image_floats = (size_t)options->height * (size_t)options->width * (size_t)options->channels;
    m->values[0] = (value_t){.batch = options->batch,
                             .height = options->height,
                             .width = options->width,
                             .channels = options->channels,
                             .readers = m->values[0].readers};
    status = choose_precision(m, options->precision);
    if (!status) set_elements(m);
    for (int i = 0; i < m->layer_count && !status; i++) status = layer_infer(&m->layers[i]);
    if (!status) status = tensors_init(&m->tensors, m->layers, m->layer_count);
    return status ? status : allocate(m, options->threads);
}

sgp_status_t model_create(const model_options_t *options, model_t **model) {
    sgp_status_t status = check_options(options);
    if (status) return status;
    model_t *m = calloc(1, sizeof *m);
    if (!m) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a model");
    status = build(m, options);
    if (status) model_destroy(m);
    else *model = m;
    return status;
}

void model_destroy(model_t *model) {
    if (!model) return;
    for (int i = 0; model->layers && i < model->layer_count; i++) layer_fini(&model->layers[i]);
    engine_destroy(model->engine);
    tensors_fini(&model->tensors);
    arena_release(&model->arena);
    free(model->layers);
    free(model->values);
    free(model);
}

const char *model_names(void) {
    return models_names();
}

bool model_known(const char *name) {
    return models_known(name);
}

void model_usual_images(model_options_t *options) {
    models_images_t images = models_images(options->name);
    options->height = options->width = images.side;
    options->channels = images.channels;
    options->classes = images.classes;
}

size_t model_parameter_count(const model_t *model) {
    return model->tensors.parameter_count;
}

size_t model_buffer_count(const model_t *model) {
    return model->tensors.buffer_count;
}

size_t model_tensor_count(const model_t *model) {
    return model->tensors.count;
}

const model_tensor_t *model_tensor(const model_t *model, size_t index) {
    return index < model->tensors.count ? &model->tensors.list[index] : NULL;
}

model_precision_t model_precision(const model_t *model) {
    return model->precision;
}

const float *model_logits(const model_t *model) {
    return model->values[model->layer_count].data;
}

size_t model_layer_count(const model_t *model) {
    return (size_t)model->layer_count;
}

model_layer_t model_layer(const model_t *model, size_t index) {
    const layer_t *layer = &model->layers[index];
    const value_t *output = layer->output;
    bool affine = layer->affine != NULL;
    double pixels = (double)output->height * output->width;
    return (model_layer_t){.name = layer->spec.name,
                           .kind = layer_kind_name(layer->spec.kind),
                           .height = output->height,
                           .width = output->width,
                           .channels = output->channels,
                           .parameters = layer->weight_count + layer->bias_count,
                           .multiply_adds = affine ? pixels * (double)layer->weight_count : 0.0};
}

model_memory_t model_memory(const model_t *model) {
    return model->memory;
}

size_t model_memory_bytes(const model_t *model) {
    return model->arena.bytes;
}

void model_init_parameters(const model_t *model, uint64_t seed, float *parameters, float *buffers) {
    tensors_set_initial(model->layers, model->layer_count, seed, parameters, buffers);
}

/* Checks the arguments of a call before anything changes. */
static sgp_status_t check_call(const model_t *m, const int32_t *labels, int count, int valid) {
    if (count < 1 || count > m->batch)
        return sgp_fail(SGP_ERR_INVALID, "%d samples given to a model built for 1 to %d", count,
                        m->batch);
    if (valid < 0 || valid > count)
        return sgp_fail(SGP_ERR_INVALID, "%d of %d samples cannot be valid", valid, count);
    for (int i = 0; i < valid; i++)
        if (labels[i] < 0 || labels[i] >= m->classes)
            return sgp_fail(SGP_ERR_INVALID, "label %d of sample %d, the model has %d classes",
                            (int)labels[i], i, m->classes);
    return SGP_OK;
}

/* The kernels are built for `batch` samples. Fewer samples are repeated in turn to fill the batch;
 * a whole batch in float32 is read in place. */
static void set_images(model_t *m, const float *images, int count) {
    bool rounded = m->precision == MODEL_BFLOAT16;
    m->values[0].data = m->images;
    if (count == m->batch && !rounded) {
        m->values[0].data = images;
        return;
    }
    size_t bytes = m->image_floats * element_bytes(m->values[0].element);
    for (int i = 0; i < m->batch; i++) {
        const float *from = images + (size_t)(i % count) * m->image_floats;
        void *to = (char *)m->images + (size_t)i * bytes;
        if (rounded) kernels_best()->round(m->image_floats, from, to);
        else memcpy(to, from, bytes);
    }
}

static sgp_status_t forward(model_t *m, const pass_t *pass, const float *images, int count) {
    set_images(m, images, count);
    sgp_status_t status = SGP_OK;
    for (int i = 0; i < m->layer_count && !status; i++) status = layer_forward(&m->layers[i], pass);
    return status;
}

sgp_status_t model_train(model_t *model, const float *parameters, float *buffers,
                         const float *images, const int32_t *labels, int count, int valid,
                         float *gradient, model_result_t *result) {
    sgp_status_t status = check_call(model, labels, count, valid);
    if (status) return status;
    pass_t pass = {
        .parameters = parameters, .buffers = buffers, .gradient = gradient, .training = true};
    const value_t *logits = &model->values[model->layer_count];
    status = forward(model, &pass, images, count);
    if (status) return status;
    float *d_logits = model->d_logits ? model->d_logits : logits->gradients[0];
    const loss_t loss = {model->batch, valid, model->classes, model->label_smoothing};
    loss_softmax(&loss, logits->data, labels, d_logits, result);
    if (model->d_logits) kernels_best()->round(value_count(logits), d_logits, logits->gradients[0]);
    result->backward_ns = sgp_clock_now();
    for (int i = model->layer_count - 1; i >= 0 && !status; i--)
        status = layer_backward(&model->layers[i], &pass);
    return status;
}

sgp_status_t model_evaluate(model_t *model, const float *parameters, const float *buffers,
                            const float *images, const int32_t *labels, int count,
                            model_result_t *result) {
    sgp_status_t status = check_call(model, labels, count, count);
    if (status) return status;
    pass_t pass = {.parameters = parameters, .running_buffers = buffers};
    status = forward(model, &pass, images, count);
    if (status) return status;
    const loss_t loss = {count, count, model->classes, 0.0};
    loss_softmax(&loss, model_logits(model), labels, NULL, result);
    return SGP_OK;
}
