/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp average`: writes one model from a checkpoint. */
#include "command.h"
#include "cli/message.h"
#include "cli/options.h"

#include "run/average_checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct average_settings {
    const char *output; /* NULL: RUN/average.safetensors */
    bool help;
} average_settings_t;

static const option_t options[] = {
    {.name = "output",
     .argument = "FILE",
     .type = OPTION_STRING,
     .offset = offsetof(average_settings_t, output),
     .shown = "average.safetensors in the run's directory",
     .wanted = "a file",
     .help = "the file of the averaged model"},
    {.name = "help",
     .type = OPTION_FLAG,
     .offset = offsetof(average_settings_t, help),
     .help = "print this text and end"},
    {0},
};

const option_table_t average_table = {
    .command = "average",
    .synopsis = "sgp average [OPTIONS] RUN",
    .about = "Averages the nodes' models in the newest checkpoint of a run, or in the checkpoint\n"
             "RUN/checkpoint/step-..., and writes the result as one safetensors file.",
    .parts = {{.rows = options}},
    .operands = true,
};

/* The file of the average. */
typedef struct place {
    char directory[PATH_MAX];
    const char *name;
} place_t;

/* The run's directory: `path` without its last "/checkpoint/step-...". */
static void run_of(const char *path, char directory[PATH_MAX]) {
    snprintf(directory, PATH_MAX, "%s", path);
    char *folder = strstr(directory, "/checkpoint/step-");
    for (char *next = folder; next; next = strstr(next + 1, "/checkpoint/step-")) folder = next;
    if (folder) *folder = '\0';
}

static void find_place(const char *output, const char *run, place_t *place) {
    place->name = "average.safetensors";
    if (!output) {
        run_of(run, place->directory);
        return;
    }
    const char *slash = strrchr(output, '/');
    place->name = slash ? slash + 1 : output;
    snprintf(place->directory, PATH_MAX, "%.*s", slash ? (int)(slash - output) : 1,
             slash ? output : ".");
    if (slash == output) strcpy(place->directory, "/");
}

static int average(const char *run, const char *output) {
    average_source_t source;
    average_result_t result;
    place_t place;
    find_place(output, run, &place);
    if (!*place.name) {
        message_error("--output %s: must be a file, but this is a directory", output);
        return EXIT_MISTAKE;
    }
    sgp_status_t status = average_open(run, &source);
    if (status != SGP_OK) return EXIT_MISTAKE;
    status = average_write(&source, place.directory, place.name, &result);
    if (status == SGP_OK) {
        printf("%s of %d nodes after step %" PRIu64 "\n", result.model, result.nodes, result.step);
        printf("  parameters_hash  %s\n", result.hash);
        if (output) printf("  file             %s\n", output);
        else printf("  file             %s/%s\n", place.directory, place.name);
    }
    average_close(&source);
    return exit_status_of(status);
}

int command_average(int argc, char **argv) {
    average_settings_t settings = {0};
    const char *run;
    options_init(&average_table, &settings);
    if (!options_parse_one(&average_table, argc, argv, &settings, &run)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&average_table);
        return 0;
    }
    if (!run) {
        message_error("average: the run is missing; %s", average_table.synopsis);
        return EXIT_MISTAKE;
    }
    message_log_library(NULL);
    return average(run, settings.output);
}
