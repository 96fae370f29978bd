/* SPDX-License-Identifier: Apache-2.0 */
/* A stacked bar for each node with the parts of its step, run below run, as a script for
 * gnuplot. */
#ifndef SGP_REPORT_REPORT_BARS_H
#define SGP_REPORT_REPORT_BARS_H

#include "report/report_canvas.h"
#include "report/report_data.h"

/* Whether the run has a node to draw. */
bool report_bars_show(const report_run_t *run);

/* The most bars of a run. */
int report_bars_most(const report_t *report);

/* The height in pixels. */
int report_bars_height(const report_t *report, bool narrow);

/* Prints the script that follows report_canvas_begin. */
void report_bars_print(const report_canvas_t *canvas, const report_t *report);

#endif
