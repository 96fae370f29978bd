/* SPDX-License-Identifier: Apache-2.0 */
/* report.html about runs: one page that loads nothing and runs no script. */
#ifndef SGP_REPORT_REPORT_HTML_H
#define SGP_REPORT_REPORT_HTML_H

#include "report/report_data.h"
#include "report/report_plot.h"

/* The page as text, released with free; NULL when out of memory. */
char *report_html(const report_t *report, const report_plot_t plots[REPORT_PLOTS]);

#endif
