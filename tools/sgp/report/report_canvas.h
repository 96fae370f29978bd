/* SPDX-License-Identifier: Apache-2.0 */
/* The script of one picture: its size, font and margins. report_plot.c begins it; curves and bars
 * continue it. */
#ifndef SGP_REPORT_REPORT_CANVAS_H
#define SGP_REPORT_REPORT_CANVAS_H

#include <stdbool.h>
#include <stdio.h>

typedef struct report_canvas {
    FILE *script;
    bool narrow;
    int width, height; /* pixels */
} report_canvas_t;

/* Pixels: of a picture for a screen, or for a phone. */
int report_canvas_width(bool narrow);

/* Prints the settings of the terminal; the height is known. */
void report_canvas_begin(const report_canvas_t *canvas);

/* Margins of the plot in pixels; bottom includes REPORT_BELOW for marks and label. */
typedef struct report_margins {
    double left, right, top, bottom;
} report_margins_t;

enum { REPORT_BELOW = 56 };

/* label: below the x axis. */
void report_margins_print(const report_canvas_t *canvas, const report_margins_t *margins,
                          const char *label);

#endif
