/* SPDX-License-Identifier: Apache-2.0 */
/* Reports about runs: pages, files and lines of a terminal. The folder report reads the files that
 * runs and simulations leave, and writes or prints what they show; commands and launch call it. It
 * changes no measurement of a run, starts no node, and is the only caller of gnuplot. */
#ifndef SGP_REPORT_REPORT_H
#define SGP_REPORT_REPORT_H

#include "cli/output.h"

#include <stdbool.h>

#define REPORT_FILE "report.html"

/* A name that no file has yet: runs/comparison-TIME. */
void report_name(char path[OUTPUT_PATH]);

/* Whether gnuplot, which draws the plots, can be started; false after a line that names the package
 * to install. */
bool report_check(void);

/* Reads count > 0 directories of runs and writes report.html into the directory `output`, made if
 * it is missing; next to it comparison.md and comparison.json, unless output is the one run's own
 * directory. Prints only failures. Returns the program's exit status; on a mistake (no gnuplot, a
 * directory without a run) it writes nothing. Starts gnuplot, and blocks until all is written; not
 * for two threads at a time. */
int report_write(const char *const *directories, int count, const char *output);

/* Prints one line for each of count > 0 runs on standard output, leaving out those that cannot be
 * read. Returns the program's exit status, after a line for each of those. */
int report_print(const char *const *directories, int count);

#endif
