/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"
#include "launch.h"
#include "message.h"
#include "options.h"

typedef struct run_settings {
    int nodes;
    int help;
} run_settings_t;

static const option_t options[] = {
    {.name = "nodes",
     .argument = "N",
     .type = OPTION_INT,
     .offset = offsetof(run_settings_t, nodes),
     .min = 1,
     .max = 256,
     .help = "start N copies of the program on this machine"},
    {.name = "help",
     .type = OPTION_FLAG,
     .offset = offsetof(run_settings_t, help),
     .value = 1,
     .help = "print this text and end"},
};

static const option_table_t table = {
    .command = "run",
    .synopsis = "sgp run [--nodes N] -- PROGRAM [ARGUMENTS]",
    .about = "Starts a program written on libsgp on several nodes: sgp_group_join finds its place.",
    .options = options,
    .count = sizeof options / sizeof options[0],
    .operands = true,
};

int command_run(int argc, char **argv) {
    run_settings_t settings = {.nodes = 4};
    int first;
    if (!options_parse(&table, argc, argv, &settings, &first)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&table, &settings);
        return 0;
    }
    if (first == argc) {
        message_error("run: the program to start is missing; %s", table.synopsis);
        return EXIT_MISTAKE;
    }
    return launch(
        &(launch_options_t){.nodes = settings.nodes, .file = argv[first], .argv = argv + first});
}
