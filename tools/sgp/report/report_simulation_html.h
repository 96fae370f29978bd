/* SPDX-License-Identifier: Apache-2.0 */
/* The text of the page about a simulation. */
#ifndef SGP_REPORT_REPORT_SIMULATION_HTML_H
#define SGP_REPORT_REPORT_SIMULATION_HTML_H

#include "report/report.h"
#include "report/report_plot.h"

/* Released with free; NULL: out of memory. plots: NULL without gnuplot. */
char *report_simulation_html(const report_t *report, const report_plot_t *plots);

#endif
