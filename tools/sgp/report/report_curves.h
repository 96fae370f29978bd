/* SPDX-License-Identifier: Apache-2.0 */
/* Curves over epochs, time, steps or nodes, one for each run, as a script for gnuplot. */
#ifndef SGP_REPORT_REPORT_CURVES_H
#define SGP_REPORT_REPORT_CURVES_H

#include "report/report_canvas.h"
#include "report/report_data.h"

#include <stddef.h>

typedef enum report_axis { AXIS_EPOCH, AXIS_SECONDS, AXIS_STEP, AXIS_NODES } report_axis_t;

/* The axis of the values. AUTO: their range, logarithmic where it is wide and there is no band.
 * LOG: always logarithmic. AUTO_ZERO: as AUTO, from 0 where linear. ZERO: linear, from 0. */
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

/* Whether the run has points to draw. */
bool report_curves_show(const report_run_t *run, const report_curves_t *curves);

/* The height in pixels. */
int report_curves_height(const report_t *report, bool narrow);

/* Prints the script that follows report_canvas_begin. */
void report_curves_print(const report_canvas_t *canvas, const report_t *report,
                         const report_curves_t *curves);

#endif
