/* SPDX-License-Identifier: Apache-2.0 */
/* The plots of a report, drawn by gnuplot, each in two widths: for a screen and for a phone. */
#ifndef SGP_REPORT_REPORT_PLOT_H
#define SGP_REPORT_REPORT_PLOT_H

#include "report/report_data.h"
#include "report/report_style.h"

#include <stdio.h>

enum { REPORT_PLOTS = 6 };

typedef struct report_plot {
    const char *name; /* for ids: letters and dashes; NULL: there is no such plot */
    const char *title;
    char *note;          /* clean text: how to read it, and what it leaves out */
    char *wide, *narrow; /* <svg>; NULL: no run has anything to draw */
} report_plot_t;

/* Draws all that there are of runs, or of a simulation. Returns 0, or the program's exit status after a line about what went wrong. Release in
 * any case. */
int report_plots_draw(const report_t *report, report_plot_t plots[REPORT_PLOTS]);
void report_plots_release(report_plot_t plots[REPORT_PLOTS]);

/* What follows is between the files that draw. */

typedef enum report_axis { AXIS_EPOCH, AXIS_SECONDS, AXIS_STEP, AXIS_NODES } report_axis_t;

/* The axis of the values: as far as they go, and a logarithm where they spread wide and there is no band; always one;
 * as AUTO, but from 0; never one, and from 0. */
typedef enum report_scale { SCALE_AUTO, SCALE_LOG, SCALE_AUTO_ZERO, SCALE_ZERO } report_scale_t;

/* A plot with a curve for each run. */
typedef struct report_curves {
    size_t curve; /* offset in report_run_t */
    report_axis_t axis;
    const char *label; /* of the values */
    bool band;         /* shows low to high */
    size_t crosses;    /* offset of a second curve, shown as crosses; 0: none */
    report_scale_t scale;
    double factor; /* the values are shown times this */
} report_curves_t;

typedef struct report_canvas {
    FILE *script;
    bool narrow;
    int width, height; /* pixels */
} report_canvas_t;

/* Each prints what follows the terminal's settings. */
void report_curves_print(const report_canvas_t *canvas, const report_t *report,
                         const report_curves_t *curves);
void report_bars_print(const report_canvas_t *canvas, const report_t *report);

/* Marks of a logarithmic y axis that goes from low to high, 0 < low <= high, and is so many pixels long. */
void report_log_marks_print(FILE *script, double low, double high, double pixels);

/* Marks along the x axis, few enough for their labels; least: between two of them. */
void report_marks_print(const report_canvas_t *canvas, double most, double least);

/* Room around the plot, in pixels; bottom: with REPORT_BELOW for marks and label. */
typedef struct report_margins {
    double left, right, top, bottom;
} report_margins_t;

enum { REPORT_BELOW = 56 };

/* label: below the x axis. */
void report_margins_print(const report_canvas_t *canvas, const report_margins_t *margins,
                          const char *label);

/* To 1, 2 or 5 times a power of ten. */
double report_round_up(double value);

/* Whether there is anything to draw of a run. */
bool report_curves_show(const report_run_t *run, const report_curves_t *curves);
bool report_bars_show(const report_run_t *run);

/* The height in pixels. */
int report_curves_height(const report_t *report, bool narrow);
int report_bars_height(const report_t *report, bool narrow);

/* Nodes of a run that have a bar, at most. */
int report_bars_most(const report_t *report);

#endif
