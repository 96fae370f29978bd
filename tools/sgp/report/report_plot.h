/* SPDX-License-Identifier: Apache-2.0 */
/* The plots of a report, drawn by gnuplot, each in two widths: for a screen and for a phone. */
#ifndef SGP_REPORT_REPORT_PLOT_H
#define SGP_REPORT_REPORT_PLOT_H

#include "report/report_data.h"

enum { REPORT_PLOTS = 6 };

typedef struct report_plot {
    const char *name; /* for ids: letters and dashes; NULL: there is no such plot */
    const char *title;
    char *note;          /* clean text: how to read it, and runs that it omits */
    char *wide, *narrow; /* <svg>; NULL: no run has anything to draw */
} report_plot_t;

/* Draws all plots of runs, or of a simulation. Returns 0, or the program's exit status after a line
 * about the failure. Release in any case. */
int report_plots_draw(const report_t *report, report_plot_t plots[REPORT_PLOTS]);
void report_plots_release(report_plot_t plots[REPORT_PLOTS]);

#endif
