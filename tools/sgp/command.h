/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of the program. main.c calls them. command_NAME.c holds a subcommand's options
 * and the order of its steps; it calls the folders report, flight, graph, simulate, bench, data and launch, which
 * draw, print, write and start. Those call cli and src, and never a subcommand. Only this program prints
 * and exits; the library never does. */
#ifndef SGP_COMMAND_H
#define SGP_COMMAND_H

#include "cli/exit_status.h"
#include "cli/options.h"

/* X(name, options, help): a new subcommand is one line here and a file command_NAME.c; `sgp help` prints
 * this list, and a test holds the manual against it. */
#define COMMANDS(X)                                                                                \
    X(train, &train_table, "train a model on several nodes")                                       \
    X(run, &run_table, "start a program that uses libsgp on several nodes")                        \
    X(compare, &compare_table, "train with several algorithms and write a report")                 \
    X(status, &status_table, "print what a run does, running or ended")                            \
    X(watch, &watch_table, "show in the terminal what a run does")                                 \
    X(table, &table_table, "print one line for each finished run")                                 \
    X(report, &report_table, "write a page with tables and plots about runs")                      \
    X(flight, &flight_table, "say who waited for whom when a run failed or hung")                  \
    X(graph, &graph_table, "show who sends to whom, and how well it averages")                     \
    X(simulate, &simulate_table, "predict the training speed of a cluster")                        \
    X(bench, &bench_table, "measure the figures that simulate needs of a cluster")                 \
    X(average, &average_table, "write one model from a run's newest checkpoint")                   \
    X(eval, &eval_table, "print accuracy and loss of a model file")                                \
    X(model, &model_table, "print a model's parameters and memory")                                \
    X(data, &data_table, "pack, check and show data sets of pictures")                             \
    X(key, &key_table, "make a key that the nodes of a group share")                               \
    X(help, NULL, "print this text")                                                               \
    X(version, NULL, "print the program's version")

/* int command_NAME(int argc, char **argv): argv[0] is the subcommand's name. Returns the exit
 * status and has printed the cause of a failure. */
#define COMMAND_DECLARE(name, options, help) int command_##name(int argc, char **argv);
COMMANDS(COMMAND_DECLARE)
#undef COMMAND_DECLARE

/* Their options. */
extern const option_table_t train_table, run_table, status_table, watch_table, compare_table,
    table_table, report_table, flight_table, graph_table, simulate_table, bench_table,
    average_table, eval_table, model_table, data_table, key_table;

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const option_table_t *options; /* NULL: none */
    const char *help;              /* one line */
} command_t;

/* (count), in the order of COMMANDS. */
const command_t *command_list(int *count);

#endif
