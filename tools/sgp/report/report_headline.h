/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a report in a sentence or a few. */
#ifndef SGP_REPORT_REPORT_HEADLINE_H
#define SGP_REPORT_REPORT_HEADLINE_H

#include "report/report_data.h"

#include <stdio.h>

/* Paragraphs of HTML about the runs that finished: each against the one by all-reduce; without that
 * two runs against each other, and of more the fastest and the most accurate. Nothing where there
 * is nothing to say. */
void report_headline(FILE *out, const report_t *report);

/* The same about a simulation: steps on the largest number of nodes. */
void report_simulation_headline(FILE *out, const report_t *report);

#endif
