/* SPDX-License-Identifier: Apache-2.0 */
/* The colour, dashes and mark of a run wherever it is drawn: an algorithm has the same colour on
 * every page, in shades where it has several runs; dashes and marks tell runs apart without
 * colours. */
#ifndef SGP_REPORT_REPORT_STYLE_H
#define SGP_REPORT_REPORT_STYLE_H

#include "report/report_data.h"

typedef struct report_style {
    char color[8];    /* "#0072B2" */
    const char *dash; /* lengths in pixels, such as "8,4"; "": solid */
    int mark;         /* gnuplot's number of the point */
} report_style_t;

report_style_t report_style(const report_t *report, int run);

/* The colour mixed with white; white: 0 to 1. */
void report_tint(const char color[8], double white, char tint[8]);

#endif
