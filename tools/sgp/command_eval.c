/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp eval`: accuracy and loss of a model file on a test set. */
#include "command.h"
#include "cli/message.h"
#include "cli/output.h"
#include "cli/options.h"
#include "report/report_number.h"

#include "files/json.h"
#include "model/model.h"
#include "run/evaluate_file.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct eval_settings {
    const char *data;
    const char *model; /* NULL: the name in the file */
    int batch;
    int image_size;
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
     .wanted = "fashion-mnist or a folder",
     .help = "the data set: fashion-mnist, or a folder of pictures by class, of shards, or of "
             "MNIST's or CIFAR's files"},
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
     .help = "samples per call of the model"},
    {.name = "image-size",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(image_size),
     .shown = "as the file says, of pictures",
     .min = 8,
     .max = 4096,
     .help = "side in pixels of what the network sees of a picture"},
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
    .about =
        "Prints the accuracy and loss on the test set of the model in FILE: model.safetensors\n"
        "of a run, the output of sgp average, or the checkpoint of a node.",
    .parts = {{.rows = options}},
    .operands = true,
};

static bool print_json(const evaluate_file_options_t *what, const evaluate_file_result_t *result) {
    files_json_begin();
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:I, s:o, s:I}", "file", what->path, "model",
                  result->model, "data", what->data, "accuracy",
                  files_json_number(result->accuracy), "loss", files_json_number(result->loss),
                  "test_samples", (json_int_t)result->samples, "top5_accuracy",
                  files_json_number(result->accuracy5), "left_out", (json_int_t)result->left_out);
    bool printed = output_json(json, FILES_JSON_FLAGS);
    json_decref(json);
    if (!printed) message_error("the result cannot be printed");
    return printed;
}

static int run(const eval_settings_t *settings, const char *path) {
    evaluate_file_options_t what = {.path = path,
                                    .data = settings->data,
                                    .model = settings->model,
                                    .batch = settings->batch,
                                    .image_size = settings->image_size};
    evaluate_file_result_t result;
    char loss[NUMBER_TEXT];
    sgp_status_t status = evaluate_file(&what, &result);
    if (status != SGP_OK) return exit_status_of(status);
    if (settings->json) return print_json(&what, &result) ? 0 : EXIT_FAILED;
    printf("%s on %s: accuracy %.4f, loss %s over %" PRIu64 " test samples\n", result.model,
           settings->data, result.accuracy, number_text("%.4f", result.loss, loss), result.samples);
    if (result.left_out)
        printf("%" PRIu64 " pictures could not be read, and were left out\n", result.left_out);
    return 0;
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
