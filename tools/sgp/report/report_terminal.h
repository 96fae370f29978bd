/* SPDX-License-Identifier: Apache-2.0 */
/* A table with one line for each run, on standard output, as wide as the terminal allows. */
#ifndef SGP_REPORT_REPORT_TERMINAL_H
#define SGP_REPORT_REPORT_TERMINAL_H

#include "report/report_data.h"

/* Prints the settings that all runs share, the table, and the reason of each run that did not
 * finish. */
void report_terminal_print(const report_t *report);

#endif
