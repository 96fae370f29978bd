/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands, and what the program's exit status means. */
#ifndef SGP_COMMAND_H
#define SGP_COMMAND_H

#include <sgp/status.h>

enum {
    EXIT_FAILED = 1,     /* something went wrong while running */
    EXIT_MISTAKE = 2,    /* an option, a file or a setting is wrong: nothing was started */
    EXIT_INTERRUPT = 130 /* Ctrl-C; another signal ends with 128 + its number */
};

/* argv[0] is the subcommand's name. Each returns the exit status and has said what went wrong. */
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

/* The exit status that a status of the library stands for. */
int command_exit_status(sgp_status_t status);

#endif
