/* SPDX-License-Identifier: Apache-2.0 */
/* The labels of a plot's axes, at round numbers and so few that no label touches the next. */
#ifndef SGP_REPORT_REPORT_MARKS_H
#define SGP_REPORT_REPORT_MARKS_H

#include "report/report_canvas.h"

/* Marks of a logarithmic y axis from low to high, 0 < low <= high; pixels: its length. */
void report_log_marks_print(FILE *script, double low, double high, double pixels);

/* Marks of the x axis from 0 to most, few enough for their labels, at least `least` apart. */
void report_marks_print(const report_canvas_t *canvas, double most, double least);

/* Rounds up to 1, 2 or 5 times a power of ten. */
double report_round_up(double value);

#endif
