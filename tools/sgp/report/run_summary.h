/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the end of a run. */
#ifndef SGP_REPORT_RUN_SUMMARY_H
#define SGP_REPORT_RUN_SUMMARY_H

#include "cli/train_settings.h"

/* Writes report.html into the run's directory, unless the run is quiet or gnuplot is missing, and
 * prints, as the settings ask, a few lines of text, summary.json as one line, or nothing. Returns
 * the program's exit status. */
int summary_print(const settings_t *settings, const train_summary_t *summary);

/* The same for a run that ended early: one line with the reason, unless that was a signal, and one
 * with the checkpoint that is kept. */
void summary_print_early(const settings_t *settings, const train_summary_t *summary);

#endif
