/* SPDX-License-Identifier: Apache-2.0 */
/* This program starting itself again, as one node or as all nodes of a run. */
#ifndef SGP_LAUNCH_SELF_H
#define SGP_LAUNCH_SELF_H

#include "cli/joining.h"
#include "launch/launch.h"

#define SELF_FILE "/proc/self/exe"

/* Executes this program anew with OpenMP held to one thread, which OpenMP reads only when a program
 * starts. argv[-1] is the program's name. Returns only on a failure: EXIT_FAILED after a line. */
int self_restart(char **argv);

/* launch() with this program and the subcommand's own arguments, argv[0] being its name. `added`:
 * arguments put before the user's; ends with NULL. Nodes of one machine that talk over tcp are told
 * to use 127.0.0.1 unless an interface is given. Fills in file and argv of options. EXIT_FAILED
 * after a line when out of memory. */
int self_launch(launch_options_t options, const char *transport, const joining_t *joining,
                const char *const *added, int argc, char **argv);

#endif
