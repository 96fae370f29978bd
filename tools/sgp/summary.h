/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed about a finished run. */
#ifndef SGP_SUMMARY_H
#define SGP_SUMMARY_H

#include "settings.h"

/* Writes report.html into the run's directory (not if the run is to be quiet, or where there is no
 * gnuplot), and prints, as settings ask: a few lines for a person, summary.json in one line, or nothing. Returns the
 * program's exit status. */
int summary_print(const settings_t *settings, const train_summary_t *summary);

#endif
