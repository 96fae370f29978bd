/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a report in one to four sentences of HTML. */
#ifndef SGP_REPORT_REPORT_HEADLINE_H
#define SGP_REPORT_REPORT_HEADLINE_H

#include "report/report_data.h"

#include <stdio.h>

/* Paragraphs about the finished runs: each compared with the one by all-reduce; without that, two
 * runs with each other, or the fastest and the most accurate of several. Prints nothing if the runs
 * cannot be compared. */
void report_headline(FILE *out, const report_t *report);

/* Paragraphs about a simulation: the time of a step on the largest number of nodes. */
void report_simulation_headline(FILE *out, const report_t *report);

#endif
