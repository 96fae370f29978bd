/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_bars.h"

#include "report/gnuplot.h"
#include "report/report_marks.h"
#include "report/report_style.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_BARS = 48, MOST_OF_RUN = 8, LEAST_OF_RUN = 3 };

/* Pixels. */
enum { LEFT = 76, RIGHT = 52, ROW_WIDE = 22, ROW_NARROW = 20 };

typedef struct bar {
    const report_node_t *node;
    int run;
    int row; /* from the top */
} bar_t;

/* The parts of a bar: the run's colour, a tint of it, and nearly white. The key, which is for all
 * runs, uses grey. */
#define KEY_COLOR    "#555555"
#define WAIT_COLOR   "#F2F2F2"
#define UPDATE_WHITE 0.55

int report_bars_most(const report_t *report) {
    int most = MOST_BARS / report->count;
    return most > MOST_OF_RUN ? MOST_OF_RUN : most < LEAST_OF_RUN ? LEAST_OF_RUN : most;
}

bool report_bars_show(const report_run_t *run) {
    for (int i = 0; i < run->node_count; i++)
        if (run->nodes[i].steps > 0) return true;
    return false;
}

static int compare_waits(const void *a, const void *b) {
    const report_node_t *left = *(const report_node_t *const *)a;
    const report_node_t *right = *(const report_node_t *const *)b;
    if (left->wait_ms != right->wait_ms) return left->wait_ms < right->wait_ms ? -1 : 1;
    return (left->node > right->node) - (left->node < right->node);
}

/* Chooses the nodes with a bar: all, or `most` of them, from the one that waits least to the one
 * that waits most. Returns their number. */
static int choose(const report_run_t *run, int most, const report_node_t **chosen /* (most) */) {
    const report_node_t **known = calloc((size_t)run->node_count + 1, sizeof *known);
    int count = 0;
    if (!known) return 0;
    for (int i = 0; i < run->node_count; i++)
        if (run->nodes[i].steps > 0) known[count++] = &run->nodes[i];
    if (count > most) qsort(known, (size_t)count, sizeof *known, compare_waits);
    int shown = count < most ? count : most;
    for (int i = 0; i < shown; i++)
        chosen[i] = known[shown == count ? i : i * (count - 1) / (shown - 1)];
    free(known);
    return shown;
}

/* Fills in all bars, for each run the row of its name (-1: none), and *rows, their number. Returns
 * the number of bars. */
static int lay_out(const report_t *report, bar_t *bars, int *names, int *rows) {
    const report_node_t *chosen[MOST_OF_RUN];
    int count = 0, row = 0, most = report_bars_most(report);
    for (int i = 0; i < report->count; i++) {
        int shown = choose(&report->runs[i], most, chosen);
        names[i] = shown && report->count > 1 ? row++ : -1;
        for (int j = 0; j < shown; j++) bars[count++] = (bar_t){chosen[j], i, row++};
    }
    *rows = row;
    return count;
}

/* The top margin, which holds the key. */
static int top_of(bool narrow) {
    return narrow ? 74 : 34;
}

static double whole(const report_node_t *node) {
    return node->gradient_ms + node->update_ms + node->wait_ms;
}

/* The right margin holds the numbers behind the bars. */
static void print_axes(const report_canvas_t *canvas, const bar_t *bars, int count, int rows) {
    FILE *script = canvas->script;
    double most = 0;
    for (int i = 0; i < count; i++) most = fmax(most, whole(bars[i].node));
    report_margins_print(canvas,
                         &(report_margins_t){LEFT, RIGHT, top_of(canvas->narrow), REPORT_BELOW},
                         "milliseconds per step");
    fprintf(script,
            "set xrange [0:%.9g]\nset yrange [%d.5:-0.5]\n"
            "set grid noy\nset border 1\n"
            "set key at screen 0, screen %.4f left top %s Left reverse samplen 1.5\n"
            "set style fill solid 1 border lc rgb '#444444'\n",
            most > 0 ? most * 1.001 : 1, rows - 1, 1 - 4.0 / canvas->height,
            canvas->narrow ? "vertical maxcols 1 maxrows 3" : "horizontal maxrows 1");
    report_marks_print(canvas, most, 0);
    fputs("set ytics scale 0 (", script);
    for (int i = 0; i < count; i++)
        fprintf(script, "%s'node %d' %d", i ? ", " : "", bars[i].node->node, bars[i].row);
    fputs(")\n", script);
}

static void print_names(FILE *script, const report_t *report, const int *names) {
    for (int i = 0; i < report->count; i++) {
        if (names[i] < 0) continue;
        fprintf(script, "set label %d ", i + 10);
        gnuplot_text(script, report->runs[i].label);
        fprintf(script, " at graph 0, first %d left offset 0.2,-0.1 tc rgb '#000000'\n", names[i]);
    }
}

static unsigned long color_number(const char color[8]) {
    return strtoul(color + 1, NULL, 16);
}

/* Columns: row, end of each part, the last as text, and the colours of the first two. */
static void print_data(FILE *script, const report_t *report, const bar_t *bars, int count) {
    char tint[8];
    fputs("$bars << EOD\n", script);
    for (int i = 0; i < count; i++) {
        const report_node_t *node = bars[i].node;
        double update = node->gradient_ms + node->update_ms;
        report_style_t style = report_style(report, bars[i].run);
        report_tint(style.color, UPDATE_WHITE, tint);
        fprintf(script, "%d %.6g %.6g %.6g %.*f %lu %lu\n", bars[i].row, node->gradient_ms, update,
                whole(node), whole(node) < 100, whole(node), color_number(style.color),
                color_number(tint));
    }
    fputs("EOD\n", script);
}

static void print_bars(FILE *script) {
    char tint[8];
    report_tint(KEY_COLOR, UPDATE_WHITE, tint);
    fprintf(script,
            "plot $bars using (0):1:(0):2:($1-0.38):($1+0.38):6 with boxxyerror lc rgb variable "
            "notitle, \\\n"
            "$bars using (0):1:2:3:($1-0.38):($1+0.38):7 with boxxyerror lc rgb variable "
            "notitle, \\\n"
            "$bars using (0):1:3:4:($1-0.38):($1+0.38) with boxxyerror fc rgb '" WAIT_COLOR "' "
            "notitle, \\\n"
            "NaN with boxes fc rgb '" KEY_COLOR "' title 'compute', \\\n"
            "NaN with boxes fc rgb '%s' title 'update and push', \\\n"
            "NaN with boxes fc rgb '" WAIT_COLOR "' title 'wait', \\\n"
            "$bars using 4:1:(stringcolumn(5)) with labels left offset 0.5,0 "
            "tc rgb '#333333' notitle\n",
            tint);
}

void report_bars_print(const report_canvas_t *canvas, const report_t *report) {
    size_t runs = (size_t)report->count;
    bar_t *bars = calloc(runs * MOST_OF_RUN, sizeof *bars);
    int *names = calloc(runs, sizeof *names), rows;
    if (bars && names) {
        int count = lay_out(report, bars, names, &rows);
        print_axes(canvas, bars, count, rows);
        print_names(canvas->script, report, names);
        print_data(canvas->script, report, bars, count);
        print_bars(canvas->script);
    }
    free(bars);
    free(names);
}

int report_bars_height(const report_t *report, bool narrow) {
    int rows = 0, most = report_bars_most(report);
    for (int i = 0; i < report->count; i++) {
        int known = 0;
        const report_run_t *run = &report->runs[i];
        for (int j = 0; j < run->node_count; j++) known += run->nodes[j].steps > 0;
        rows += known < most ? known : most;
        if (known && report->count > 1) rows++;
    }
    return top_of(narrow) + REPORT_BELOW + rows * (narrow ? ROW_NARROW : ROW_WIDE);
}
