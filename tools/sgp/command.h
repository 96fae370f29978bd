/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of the program. main.c calls them. command_NAME.c holds a subcommand's options
 * and the order of its steps; it calls the folders report, graph, simulate, bench and launch, which
 * draw, print and start. Those call cli and src, and never a subcommand. Only this program prints
 * and exits; the library never does. */
#ifndef SGP_COMMAND_H
#define SGP_COMMAND_H

#include "cli/exit_status.h"

/* X(name, help): a new subcommand is one line here and a file command_NAME.c; `sgp help` prints
 * this list, and a test holds the manual against it. */
#define COMMANDS(X)                                                                                \
    X(train, "train a model on several nodes")                                                     \
    X(run, "start a program that uses libsgp on several nodes")                                    \
    X(compare, "train with several algorithms and write a report")                                 \
    X(table, "print one line for each finished run")                                               \
    X(report, "write a page with tables and plots about runs")                                     \
    X(graph, "show who sends to whom, and how well it averages")                                   \
    X(simulate, "predict the training speed of a cluster")                                         \
    X(bench, "measure the figures that simulate needs of a cluster")                               \
    X(average, "write one model from a run's newest checkpoint")                                   \
    X(eval, "print accuracy and loss of a model file")                                             \
    X(model, "print a model's parameters and memory")                                              \
    X(help, "print this text")                                                                     \
    X(version, "print the program's version")

/* int command_NAME(int argc, char **argv): argv[0] is the subcommand's name. Returns the exit
 * status and has printed the cause of a failure. */
#define COMMAND_DECLARE(name, help) int command_##name(int argc, char **argv);
COMMANDS(COMMAND_DECLARE)
#undef COMMAND_DECLARE

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help; /* one line */
} command_t;

/* (count), in the order of COMMANDS. */
const command_t *command_list(int *count);

#endif
