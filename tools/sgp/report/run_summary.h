/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed about a run that has ended. */
#ifndef SGP_REPORT_RUN_SUMMARY_H
#define SGP_REPORT_RUN_SUMMARY_H

#include "cli/train_settings.h"

/* Writes report.html into the run's directory (not if the run is to be quiet, or where there is no
 * gnuplot), and prints, as settings ask: a few lines for a person, summary.json in one line, or
 * nothing. Returns the program's exit status. */
int summary_print(const settings_t *settings, const train_summary_t *summary);

/* The same of a run that ended early: one line with the reason, unless that was a signal, and one
 * that names the checkpoint that is kept. */
void summary_print_early(const settings_t *settings, const train_summary_t *summary);

#endif
