/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_canvas.h"

/* Pixels. A phone's page is 360 wide and keeps a margin; letters are never scaled below 12. */
enum { WIDE = 860, NARROW = 336, WIDE_FONT = 15, NARROW_FONT = 13 };

/* Pixels from the x axis to the middle of its label. */
enum { LABEL_BELOW = 42 };

int report_canvas_width(bool narrow) {
    return narrow ? NARROW : WIDE;
}

void report_canvas_begin(const report_canvas_t *canvas) {
    fprintf(canvas->script,
            "set terminal svg noenhanced dynamic size %d,%d font 'sans-serif,%d' background "
            "'#ffffff'\n"
            "set encoding utf8\n"
            "set border 3 lc rgb '#666666'\n"
            "set tics nomirror out scale 0.5 tc rgb '#333333'\n"
            "set xtics offset 0,0.3\n"
            "set grid ytics lt 1 lc rgb '#dddddd' lw 1\n",
            canvas->width, canvas->height, canvas->narrow ? NARROW_FONT : WIDE_FONT);
}

void report_margins_print(const report_canvas_t *canvas, const report_margins_t *margins,
                          const char *label) {
    double width = canvas->width, height = canvas->height;
    fprintf(canvas->script,
            "set lmargin at screen %.4f\nset rmargin at screen %.4f\n"
            "set tmargin at screen %.4f\nset bmargin at screen %.4f\n"
            "set label 2 '%s' at screen %.4f, screen %.4f center tc rgb '#333333'\n",
            margins->left / width, 1 - margins->right / width, 1 - margins->top / height,
            margins->bottom / height, label, (margins->left + width - margins->right) / 2 / width,
            (margins->bottom - LABEL_BELOW) / height);
}
