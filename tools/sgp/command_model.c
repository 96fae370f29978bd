/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"
#include "cli/message.h"
#include "cli/options.h"

#include "data/dataset.h"
#include "model/model.h"

#include <stdio.h>

typedef struct model_settings {
    const char *model;
    const char *data;
    int batch;
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
     .initial = "fashion-mnist",
     .wanted = "fashion-mnist or a directory with its four IDX files",
     .help = "the data set, which gives the size of the images"},
    {.name = "batch-size",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(batch),
     .initial = "32",
     .min = 1,
     .max = 65536,
     .help = "samples per node and step"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t model_table = {
    .command = "model",
    .synopsis = "sgp model [OPTIONS]",
    .about = "Prints a model's parameters and the memory that a node needs to train it.",
    .parts = {{.rows = options}},
};

/* Bytes of a node's vectors: parameters with buffers, gradient, momentum, and the average over
 * nodes that is evaluated. Message buffers are extra and depend on the transport. */
static double vector_bytes(const model_t *model) {
    double parameters = (double)model_parameter_count(model);
    double buffers = (double)model_buffer_count(model);
    return sizeof(float) * (2 * (parameters + buffers) + 2 * parameters);
}

static void print_model(const model_settings_t *settings, const model_t *model) {
    const double megabyte = 1e6;
    double held = (double)model_memory_bytes(model), vectors = vector_bytes(model);
    printf("model       %s, for the images of %s\n", settings->model, settings->data);
    printf("parameters  %zu in %zu tensors, and %zu batch-norm statistics\n",
           model_parameter_count(model), model_tensor_count(model), model_buffer_count(model));
    printf("memory      %.1f MB at batch size %d\n"
           "            activations, gradients and layers %.1f MB\n"
           "            parameters, gradient, momentum and average %.1f MB\n",
           (held + vectors) / megabyte, settings->batch, held / megabyte, vectors / megabyte);
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
    dataset_shape_t shape;
    sgp_status_t status = dataset_inspect(settings.data, &shape);
    if (status != SGP_OK) return EXIT_MISTAKE;
    model_t *model;
    status = model_create(&(model_options_t){.name = settings.model,
                                             .batch = settings.batch,
                                             .height = shape.height,
                                             .width = shape.width,
                                             .channels = shape.channels,
                                             .classes = shape.classes},
                          &model);
    if (status != SGP_OK) return exit_status_of(status);
    print_model(&settings, model);
    model_destroy(model);
    return 0;
}
