/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed and drawn about a run that has ended. */
#ifndef SGP_SUMMARY_H
#define SGP_SUMMARY_H

#include "settings.h"

/* Writes report.html into the run's directory (not if the run is to be quiet, or where there is no
 * gnuplot), and prints, as settings ask: a few lines for a person, summary.json in one line, or nothing. Returns the
 * program's exit status. */
int summary_print(const settings_t *settings, const train_summary_t *summary);

/* Whether the directory has the summary of a run that diverged or failed. */
bool summary_of_failure(const char *directory);

/* After a run that has ended otherwise than in order: writes report.html, as above, if it has left a summary. */
void summary_report_failure(const settings_t *settings);

#endif
