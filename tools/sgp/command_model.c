/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp model`: a model's layers, parameters, work and memory, without training it. */
#include "command.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output.h"

#include "data/feed.h"
#include "files/json.h"
#include "model/model.h"

#include <stdio.h>

typedef struct model_settings {
    const char *model;
    const char *data; /* NULL: none */
    int side;         /* pixels; 0: not given, as classes and channels */
    int channels;
    int classes;
    int batch;
    bool json;
    bool help;
} model_settings_t;

#define AT(member) offsetof(model_settings_t, member)

static const option_t options[] = {
    {.name = "model",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(model),
     .initial = "lenet",
     .list = model_names,
     .help = "the network"},
    {.name = "data",
     .argument = "NAME",
     .type = OPTION_STRING,
     .offset = AT(data),
     .shown = "none is needed",
     .wanted = "fashion-mnist or a folder",
     .help = "a data set that sgp train takes, which gives channels and classes of the images, and "
             "their size if they are MNIST's or CIFAR's"},
    {.name = "image-size",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(side),
     .shown = "224; 28 for the small networks",
     .min = 1,
     .max = 32768,
     .help = "pixels of a side of the images"},
    {.name = "channels",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(channels),
     .shown = "3; 1 for the small networks",
     .min = 1,
     .max = 32768,
     .help = "channels of the images"},
    {.name = "classes",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(classes),
     .shown = "1000; 10 for the small networks",
     .min = 2,
     .max = 32768,
     .help = "classes of the images"},
    {.name = "batch-size",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(batch),
     .initial = "32",
     .min = 1,
     .max = 65536,
     .help = "samples per node and step"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print the result as one JSON object"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t model_table = {
    .command = "model",
    .synopsis = "sgp model [OPTIONS]",
    .about = "Prints a model's layers, parameters and multiply-adds, and the memory that a node\n"
             "needs to train it.",
    .parts = {{.rows = options}},
};

/* A model without its training. */
typedef struct description {
    const model_settings_t *settings;
    bool pictures; /* the data are pictures, or could be */
    model_options_t options;
    const model_t *model;
    size_t layers;
    double forward, training; /* multiply-adds for one image */
    model_memory_t memory;
    double held, vectors; /* bytes */
    double ahead;         /* bytes of the batches of pictures that are decoded ahead */
} description_t;

/* Bytes of a node's vectors: parameters with buffers, gradient, momentum, and the average over
 * nodes that is evaluated. Message buffers are extra and depend on the transport. */
static double vector_bytes(const model_t *model) {
    double parameters = (double)model_parameter_count(model);
    double buffers = (double)model_buffer_count(model);
    return sizeof(float) * (2 * (parameters + buffers) + 2 * parameters);
}

/* The backward pass has two products for each of the forward pass, with the weights and with the
 * inputs; the first layer has one, because images need no gradient. */
static void describe(description_t *d) {
    d->layers = model_layer_count(d->model);
    for (size_t i = 0; i < d->layers; i++) {
        double work = model_layer(d->model, i).multiply_adds;
        d->forward += work;
        d->training += (i == 0 ? 2 : 3) * work;
    }
    d->memory = model_memory(d->model);
    d->held = (double)model_memory_bytes(d->model);
    d->vectors = vector_bytes(d->model);
    if (d->pictures) d->ahead = feed_ahead_bytes(d->options.height, d->options.batch);
}

/* ---- for people ---- */

static const char *work_text(double work, char text[32]) {
    if (work >= 1e9) snprintf(text, 32, "%.2f G", work / 1e9);
    else if (work >= 1e5) snprintf(text, 32, "%.2f M", work / 1e6);
    else snprintf(text, 32, "%.2f k", work / 1e3);
    return text;
}

static void print_layers(const description_t *d) {
    printf("%-24s %-16s %11s %16s\n", "layer", "output", "parameters", "multiply-adds");
    for (size_t i = 0; i < d->layers; i++) {
        model_layer_t layer = model_layer(d->model, i);
        char output[64], numbers[96] = "", work[32];
        snprintf(output, sizeof output, "%d x %d x %d", layer.channels, layer.height, layer.width);
        if (layer.multiply_adds > 0)
            snprintf(numbers, sizeof numbers, " %11zu %16s", layer.parameters,
                     work_text(layer.multiply_adds, work));
        else if (layer.parameters) snprintf(numbers, sizeof numbers, " %11zu", layer.parameters);
        printf("%-24s %-*s%s\n", layer.name, *numbers ? 16 : 0, output, numbers);
    }
}

static void print_images(const description_t *d) {
    const model_options_t *o = &d->options;
    if (d->settings->data)
        printf("model       %s, for the images of %s\n", o->name, d->settings->data);
    else
        printf("model       %s, for images of %d x %d x %d in %d classes\n", o->name, o->channels,
               o->height, o->width, o->classes);
}

static void print_totals(const description_t *d) {
    const double megabyte = 1e6;
    char forward[32], training[32];
    printf("parameters  %zu in %zu tensors, and %zu batch-norm statistics\n",
           model_parameter_count(d->model), model_tensor_count(d->model),
           model_buffer_count(d->model));
    printf("work        %s multiply-adds forward for one image, %s in training\n",
           work_text(d->forward, forward), work_text(d->training, training));
    printf("memory      %.1f MB at batch size %d\n"
           "            activations, gradients and layers %.1f MB\n"
           "                activations %.1f MB\n"
           "                gradients of activations %.1f MB\n"
           "                weights in the layouts of the kernels %.1f MB\n"
           "                scratchpad %.1f MB\n"
           "            parameters, gradient, momentum and average %.1f MB\n",
           (d->held + d->vectors + d->ahead) / megabyte, d->options.batch, d->held / megabyte,
           (double)d->memory.activations / megabyte, (double)d->memory.gradients / megabyte,
           (double)d->memory.weights / megabyte, (double)d->memory.scratchpad / megabyte,
           d->vectors / megabyte);
    if (d->pictures)
        printf("            batches of pictures decoded ahead, and the one in use %.1f MB\n",
               d->ahead / megabyte);
}

/* ---- for programs ---- */

static json_t *layers_json(const description_t *d) {
    json_t *layers = json_array();
    for (size_t i = 0; i < d->layers; i++) {
        model_layer_t layer = model_layer(d->model, i);
        json_array_append_new(layers,
                              json_pack("{s:s, s:s, s:[i, i, i], s:I, s:I}", "name", layer.name,
                                        "kind", layer.kind, "output", layer.channels, layer.height,
                                        layer.width, "parameters", (json_int_t)layer.parameters,
                                        "multiply_adds", (json_int_t)layer.multiply_adds));
    }
    return layers;
}

static json_t *memory_json(const description_t *d) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "activations",
                     (json_int_t)d->memory.activations, "gradients",
                     (json_int_t)d->memory.gradients, "weights", (json_int_t)d->memory.weights,
                     "scratchpad", (json_int_t)d->memory.scratchpad, "vectors",
                     (json_int_t)d->vectors, "pictures_ahead", (json_int_t)d->ahead);
}

static bool print_json(const description_t *d) {
    const model_options_t *o = &d->options;
    files_json_begin();
    json_t *json = json_pack(
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "model", o->name,
        "batch_size", o->batch, "height", o->height, "width", o->width, "channels", o->channels,
        "classes", o->classes, "parameters", (json_int_t)model_parameter_count(d->model), "tensors",
        (json_int_t)model_tensor_count(d->model), "statistics",
        (json_int_t)model_buffer_count(d->model), "multiply_adds", (json_int_t)d->forward,
        "training_multiply_adds", (json_int_t)d->training, "memory_bytes", memory_json(d), "layers",
        layers_json(d));
    bool printed = output_json(json, FILES_JSON_FLAGS);
    json_decref(json);
    if (!printed) message_error("the model cannot be printed");
    return printed;
}

/* ---- the command ---- */

/* The images are those of the data, or those that the options say. */
static bool find_images(const model_settings_t *settings, model_options_t *images, bool *pictures) {
    feed_shape_t shape;
    if (!settings->data) {
        model_usual_images(images);
        if (settings->side) images->height = images->width = settings->side;
        if (settings->channels) images->channels = settings->channels;
        if (settings->classes) images->classes = settings->classes;
        *pictures = images->channels == 3 && images->height == images->width;
        return true;
    }
    const char *given = settings->channels ? "channels" : settings->classes ? "classes" : NULL;
    if (given) {
        message_error("--%s with --data: the data set gives it", given);
        return false;
    }
    if (feed_inspect(settings->data, 0, settings->side, &shape) != SGP_OK) return false;
    *pictures = shape.pictures;
    images->height = shape.height;
    images->width = shape.width;
    images->channels = shape.channels;
    images->classes = shape.classes;
    return true;
}

static int run(const model_settings_t *settings) {
    description_t description = {.settings = settings,
                                 .options = {.name = settings->model, .batch = settings->batch}};
    model_t *model;
    if (!find_images(settings, &description.options, &description.pictures)) return EXIT_MISTAKE;
    sgp_status_t status = model_create(&description.options, &model);
    if (status != SGP_OK) return exit_status_of(status);
    description.model = model;
    describe(&description);
    bool printed = true;
    if (settings->json) {
        printed = print_json(&description);
    } else {
        print_images(&description);
        print_layers(&description);
        print_totals(&description);
    }
    model_destroy(model);
    return printed ? 0 : EXIT_FAILED;
}

int command_model(int argc, char **argv) {
    model_settings_t settings = {0};
    int first;
    options_init(&model_table, &settings);
    if (!options_parse(&model_table, argc, argv, &settings, &first)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&model_table);
        return 0;
    }
    message_log_library(NULL);
    return run(&settings);
}
