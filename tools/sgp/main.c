/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"
#include "cli/message.h"
#include "cli/options.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static int command_help(int argc, char **argv);
static int command_version(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const option_table_t *options; /* NULL: none */
    const char *help;
} commands[] = {
    {"train", command_train, &train_table, "train a model on several nodes"},
    {"run", command_run, &run_table, "start a program written on libsgp on several nodes"},
    {"compare", command_compare, &compare_table, "train by several algorithms and report"},
    {"table", command_table, &table_table, "compare finished runs"},
    {"report", command_report, &report_table, "a page with tables and plots about runs"},
    {"simulate", command_simulate, &simulate_table,
     "how fast a cluster would train, without the cluster"},
    {"bench", command_bench, &bench_table, "measure a cluster's constants for simulate"},
    {"graph", command_graph, &graph_table, "who sends to whom, and how well it averages"},
    {"average", command_average, &average_table, "one model from a run's newest checkpoint"},
    {"eval", command_eval, &eval_table, "accuracy and loss of a model's file"},
    {"model", command_model, &model_table, "parameters and memory of a model"},
    {"help", command_help, NULL, "this text"},
    {"version", command_version, NULL, "the program's version"},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

/* The sections of docs/sgp.1 that describe options: scripts/make-manual puts them there. */
static int print_manual(void) {
    for (int i = 0; i < COMMANDS; i++)
        if (commands[i].options) options_manual(commands[i].options, stdout);
    return 0;
}

static int command_help(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--man") == 0) return print_manual();
    puts("usage: sgp COMMAND [OPTIONS]\n");
    for (int i = 0; i < COMMANDS; i++) printf("  %-9s %s\n", commands[i].name, commands[i].help);
    puts("\nsgp COMMAND --help lists the options of a command.");
    return 0;
}

static int command_version(int argc, char **argv) {
    (void)argc;
    (void)argv;
    puts("sgp " SGP_VERSION);
    return 0;
}

static int unknown(const char *name) {
    const char *nearest = NULL;
    int best = INT_MAX;
    for (int i = 0; i < COMMANDS; i++)
        if (options_near(name, commands[i].name, &best)) nearest = commands[i].name;
    if (nearest) message_error("%s: unknown command; did you mean %s?", name, nearest);
    else message_error("%s: unknown command; sgp help lists them", name);
    return EXIT_MISTAKE;
}

int command_exit_status(sgp_status_t status) {
    switch (status) {
    case SGP_OK:
        return 0;
    case SGP_ERR_INVALID:
    case SGP_ERR_NOT_FOUND:
    case SGP_ERR_FORMAT:
    case SGP_ERR_UNSUPPORTED:
    case SGP_ERR_MISMATCH:
        return EXIT_MISTAKE;
    case SGP_ERR_INTERRUPTED:
        return EXIT_INTERRUPT;
    default:
        return EXIT_FAILED;
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        message_error("a command is missing; sgp help lists them");
        return EXIT_MISTAKE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) name = "version";
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) != 0) continue;
        int status = commands[i].run(argc - 1, argv + 1);
        if (fflush(stdout) == 0 || status) return status;
        message_error("standard output: cannot be written");
        return EXIT_FAILED;
    }
    return unknown(name);
}
