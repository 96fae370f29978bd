/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands, their options, and the meaning of the exit status. */
#ifndef SGP_COMMAND_H
#define SGP_COMMAND_H

#include "cli/options.h"

#include <sgp/status.h>

enum {
    EXIT_FAILED = 1,     /* an error while running */
    EXIT_MISTAKE = 2,    /* an option, a file or a setting is wrong: nothing was started */
    EXIT_INTERRUPT = 130 /* Ctrl-C; another signal ends with 128 + its number */
};

/* argv[0] is the subcommand's name. Each returns the exit status, after a line about an error. */
int command_train(int argc, char **argv);
int command_run(int argc, char **argv);
int command_compare(int argc, char **argv);
int command_table(int argc, char **argv);
int command_report(int argc, char **argv);
int command_simulate(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_graph(int argc, char **argv);
int command_average(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_model(int argc, char **argv);

/* Their options. */
extern const option_table_t train_table, run_table, compare_table, table_table, report_table,
    simulate_table, bench_table, graph_table, average_table, eval_table, model_table;

/* The exit status that a status of the library stands for. */
int command_exit_status(sgp_status_t status);

#endif
