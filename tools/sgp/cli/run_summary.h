/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the result of a run that has ended. */
#ifndef SGP_CLI_RUN_SUMMARY_H
#define SGP_CLI_RUN_SUMMARY_H

#include "cli/train_settings.h"

/* Writes report.html into the run's directory, unless --quiet is given or gnuplot is missing. Prints a few lines, or
 * summary.json in one line with --json, or nothing with --quiet. Returns the program's exit status. */
int summary_print(const settings_t *settings, const train_summary_t *summary);

/* The same for a run that ended early: one line with the reason, unless a signal ended it, and one that names the
 * checkpoint that is kept. */
void summary_print_early(const settings_t *settings, const train_summary_t *summary);

#endif
