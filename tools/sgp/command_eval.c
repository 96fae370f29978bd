/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp eval`: accuracy and loss of a model's file on a test set. */
#include "command.h"
#include "cli/message.h"
#include "cli/output.h"
#include "cli/options.h"
#include "report/report_number.h"

#include "base/memory.h"
#include "run/evaluate.h"
#include "files/json.h"
#include "files/model_file.h"

#include <stdio.h>
#include <string.h>

typedef struct eval_settings {
    const char *data;
    const char *model; /* NULL: as the file says */
    int batch;
    bool json;
    bool help;
} eval_settings_t;

#define AT(member) offsetof(eval_settings_t, member)

static const option_t options[] = {
    {.name = "data",
     .argument = "NAME",
     .type = OPTION_STRING,
     .offset = AT(data),
     .initial = "fashion-mnist",
     .wanted = "fashion-mnist or a directory with its four IDX files",
     .help = "fashion-mnist, or a directory with four files of the same names and format"},
    {.name = "model",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(model),
     .list = model_names,
     .shown = "as the file says",
     .help = "the network"},
    {.name = "batch-size",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(batch),
     .initial = "256",
     .min = 1,
     .max = 65536,
     .help = "samples at a time"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print the result as one JSON object"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t eval_table = {
    .command = "eval",
    .synopsis = "sgp eval [OPTIONS] FILE",
    .about = "Prints accuracy and loss on the test set of the model in FILE: a run's\n"
             "model.safetensors, that of sgp average, or the checkpoint of a node.",
    .parts = {{.rows = options}},
    .operands = true,
};

/* What evaluating takes, all of it; NULL: not made yet. */
typedef struct eval {
    const eval_settings_t *settings;
    tensor_file_t file;
    const char *name; /* of the model */
    dataset_t *dataset;
    model_t *model;
    loader_t loader;
    float *vector, *images; /* (P + S), (batch, sample) */
    int32_t *labels;        /* (batch) */
} eval_t;

/* The library has not said it. */
static sgp_status_t refuse(sgp_status_t status, const char *problem) {
    if (status != SGP_OK) message_error("%s", problem);
    return status;
}

static sgp_status_t find_name(eval_t *eval) {
    const char *said = tensor_file_text(&eval->file, "model"), *asked = eval->settings->model;
    eval->name = asked ? asked : said;
    if (!eval->name)
        message_error("%s: does not say of which model it is: give --model NAME", eval->file.path);
    else if (!option_listed(model_names(), eval->name))
        message_error("%s: is of model %.64s; here: %s", eval->file.path, eval->name,
                      model_names());
    else if (said && strcmp(said, eval->name) != 0)
        message_error("--model %s: %s is of model %.64s", asked, eval->file.path, said);
    else return SGP_OK;
    return SGP_ERR_MISMATCH;
}

static sgp_status_t make_model(eval_t *eval) {
    const dataset_shape_t *shape = &eval->dataset->shape;
    return model_create(&(model_options_t){.name = eval->name,
                                           .batch = eval->settings->batch,
                                           .height = shape->height,
                                           .width = shape->width,
                                           .channels = shape->channels,
                                           .classes = shape->classes},
                        &eval->model);
}

static sgp_status_t allocate(eval_t *eval) {
    size_t batch = (size_t)eval->settings->batch;
    size_t length = model_parameter_count(eval->model) + model_buffer_count(eval->model);
    loader_init(&eval->loader, &(loader_options_t){.dataset = eval->dataset});
    eval->vector = sgp_memory_alloc(length * sizeof *eval->vector);
    eval->images =
        sgp_memory_alloc(batch * loader_sample_floats(&eval->loader) * sizeof *eval->images);
    eval->labels = sgp_memory_alloc(batch * sizeof *eval->labels);
    if (eval->vector && eval->images && eval->labels) return SGP_OK;
    message_error("out of memory for %d samples and %zu parameters", eval->settings->batch, length);
    return SGP_ERR_NO_MEMORY;
}

static sgp_status_t prepare(eval_t *eval, const char *path) {
    char problem[TENSOR_FILE_PROBLEM] = "";
    sgp_status_t status = refuse(tensor_file_open(path, &eval->file, problem), problem);
    if (!status) status = refuse(tensor_file_check(&eval->file, problem), problem);
    if (status) return status == SGP_ERR_IO ? SGP_ERR_NOT_FOUND : status;
    tensor_file_note(&eval->file);
    status = find_name(eval);
    if (!status) status = dataset_load(eval->settings->data, 0, &eval->dataset);
    if (!status)
        status = refuse(model_file_normalisation(&eval->file, eval->dataset, problem), problem);
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

static sgp_status_t print(const eval_t *eval, const evaluation_t *found) {
    double accuracy = (double)found->correct / (double)found->count;
    double loss = found->loss_sum / (double)found->count;
    if (!eval->settings->json) {
        char text[NUMBER_TEXT];
        printf("%s on %s: accuracy %.4f, loss %s over %llu test samples\n", eval->name,
               eval->settings->data, accuracy, number_text("%.4f", loss, text),
               (unsigned long long)found->count);
        return SGP_OK;
    }
    files_json_begin();
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:I}", "file", eval->file.path, "model", eval->name,
                  "data", eval->settings->data, "accuracy", files_json_number(accuracy), "loss",
                  files_json_number(loss), "test_samples", (json_int_t)found->count);
    bool printed = output_json(json, FILES_JSON_FLAGS);
    json_decref(json);
    if (!printed) message_error("the result cannot be printed");
    return printed ? SGP_OK : SGP_ERR_IO;
}

static int run(const eval_settings_t *settings, const char *path) {
    eval_t eval = {.settings = settings, .file.descriptor = -1};
    evaluation_t found;
    sgp_status_t status = prepare(&eval, path);
    if (!status) {
        evaluator_t evaluator = {.model = eval.model,
                                 .loader = &eval.loader,
                                 .batch = settings->batch,
                                 .images = eval.images,
                                 .labels = eval.labels};
        status = evaluate(&evaluator, eval.vector, eval.vector + model_parameter_count(eval.model),
                          0, eval.dataset->test.count, &found);
    }
    if (!status) status = print(&eval, &found);
    release(&eval);
    return command_exit_status(status);
}

int command_eval(int argc, char **argv) {
    eval_settings_t settings = {0};
    const char *path;
    options_init(&eval_table, &settings);
    if (!options_parse_one(&eval_table, argc, argv, &settings, &path)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&eval_table);
        return 0;
    }
    if (!path) {
        message_error("eval: the file is missing; %s", eval_table.synopsis);
        return EXIT_MISTAKE;
    }
    message_log_library(NULL);
    return run(&settings, path);
}
