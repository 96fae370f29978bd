/* SPDX-License-Identifier: Apache-2.0 */
/* Several runs of `sgp train`, one after another, each as a child process. For sgp compare. */
#ifndef SGP_LAUNCH_RUN_SEQUENCE_H
#define SGP_LAUNCH_RUN_SEQUENCE_H

#include <stdbool.h>

typedef struct sequence_run {
    const char *name;      /* in messages */
    const char *directory; /* in which the run leaves its summary.json */
    char **argv;           /* from the program's name to NULL */
} sequence_run_t;

/* Trains the runs in order, going on after one that fails, and ends early when a signal asks for
 * it. Prints a line before each run unless `quiet`. Writes to reported (count) the directories of
 * the runs that finished or whose summary.json records the failure. Returns 0, EXIT_FAILED if a
 * run failed, or 128 and the signal's number. */
int run_sequence(const sequence_run_t *runs, int count, bool quiet, const char **reported,
                 int *reported_count);

#endif
