/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_curves.h"

#include "report/gnuplot.h"
#include "report/report_marks.h"
#include "report/report_style.h"
#include "cli/text.h"

#include <math.h>
#include <stdlib.h>

/* Above this, in seconds, the axis shows minutes or hours. */
enum { MOST_SECONDS = 300, MOST_MINUTES = 180 * 60 };

/* The largest value over the smallest: above this ratio the scale is logarithmic; the second is for
 * scales that would begin at 0. */
enum { WIDE_SPREAD = 4, WIDE_FROM_ZERO = 10 };

/* Pixels: margins, a row of the key, and about a letter of it. */
enum { HEIGHT_WIDE = 380, HEIGHT_NARROW = 270 };
enum { TOP = 32, LEFT_WIDE = 62, LEFT_NARROW = 50, KEY_ROW = 20, KEY_LETTER = 8 };

/* Pixels: about the length of the axis of nodes, and a letter of its labels. NODES_MARGIN: a
 * fraction. */
enum { NODES_WIDE = 600, NODES_NARROW = 270, LABEL_LETTER = 9 };
#define NODES_MARGIN 0.04

/* Of a curve. */
enum { MOST_MARKS = 16 };

typedef struct range {
    double low, high;
} range_t;

static const report_curve_t *curve_of(const report_run_t *run, const report_curves_t *curves) {
    return (const report_curve_t *)((const char *)run + curves->curve);
}

static const report_curve_t *crosses_of(const report_run_t *run, const report_curves_t *curves) {
    return (const report_curve_t *)((const char *)run + curves->crosses);
}

static double place(const report_point_t *point, report_axis_t axis) {
    if (axis == AXIS_STEP || axis == AXIS_NODES) return point->step;
    return axis == AXIS_EPOCH ? point->epoch : point->seconds;
}

/* A logarithmic scale has no zero. */
static bool drawn(const report_point_t *point, const report_curves_t *curves) {
    return curves->scale != SCALE_LOG || point->value > 0;
}

bool report_curves_show(const report_run_t *run, const report_curves_t *curves) {
    const report_curve_t *curve = curve_of(run, curves);
    for (int i = 0; i < curve->count; i++)
        if (drawn(&curve->points[i], curves)) return true;
    return false;
}

static int longest_label(const report_t *report) {
    int longest = 0;
    for (int i = 0; i < report->count; i++) {
        const char *label = report->runs[i].label;
        int length = 0;
        while (text_next(&label)) length++;
        if (length > longest) longest = length;
    }
    return longest;
}

static int shown_runs(const report_t *report, const report_curves_t *curves) {
    int count = 0;
    for (int i = 0; i < report->count; i++) count += report_curves_show(&report->runs[i], curves);
    return count;
}

static void extend(range_t *range, const report_curve_t *curve, const report_curves_t *curves,
                   bool values) {
    for (int i = 0; i < curve->count; i++) {
        const report_point_t *point = &curve->points[i];
        double at = place(point, curves->axis);
        if (!drawn(point, curves)) continue;
        double low = curves->band ? point->low : point->value;
        double high = curves->band ? point->high : point->value;
        range->low = fmin(range->low, values ? low * curves->factor : at);
        range->high = fmax(range->high, values ? high * curves->factor : at);
    }
}

/* The range of x, or, with `values`, of y. */
static range_t range_of(const report_t *report, const report_curves_t *curves, bool values) {
    range_t range = {INFINITY, -INFINITY};
    for (int i = 0; i < report->count; i++) {
        extend(&range, curve_of(&report->runs[i], curves), curves, values);
        if (curves->crosses) extend(&range, crosses_of(&report->runs[i], curves), curves, values);
    }
    return range;
}

static double time_unit(double seconds) {
    return seconds <= MOST_SECONDS ? 1 : seconds <= MOST_MINUTES ? 60 : 3600;
}

static int compare_downwards(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left < right) - (left > right);
}

/* The x of all points, the largest first. Returns their number; *places: released with free. */
static int places_of(const report_t *report, const report_curves_t *curves, double **places) {
    int count = 0, all = 0;
    for (int i = 0; i < report->count; i++) all += curve_of(&report->runs[i], curves)->count;
    *places = calloc((size_t)all + 1, sizeof **places);
    if (!*places) return 0;
    for (int i = 0; i < report->count; i++) {
        const report_curve_t *curve = curve_of(&report->runs[i], curves);
        for (int j = 0; j < curve->count; j++) (*places)[count++] = curve->points[j].step;
    }
    qsort(*places, (size_t)count, sizeof **places, compare_downwards);
    return count;
}

/* Each simulated number of nodes has a mark, and a label where the next larger label leaves
 * room. */
static void print_nodes(const report_canvas_t *canvas, const report_t *report,
                        const report_curves_t *curves, range_t range) {
    double *places, room = canvas->narrow ? NODES_NARROW : NODES_WIDE, above = INFINITY;
    double margin = range.high > range.low ? pow(range.high / range.low, NODES_MARGIN) : 2;
    double low = range.low / margin, high = range.high * margin;
    int count = places_of(report, curves, &places);
    fprintf(canvas->script, "set logscale x 2\nset xrange [%.9g:%.9g]\nset xtics (", low, high);
    for (int i = 0; i < count; i++) {
        double pixel = room * log(places[i] / low) / log(high / low);
        if (i > 0 && places[i] == places[i - 1]) continue;
        bool labelled = above - pixel >= LABEL_LETTER * (1 + floor(log10(places[i]) + 1));
        if (labelled) above = pixel;
        if (labelled) fprintf(canvas->script, "%s'%.0f' %.9g", i ? ", " : "", places[i], places[i]);
        else fprintf(canvas->script, ", '' %.9g", places[i]);
    }
    fputs(")\n", canvas->script);
    free(places);
}

/* Returns the unit by which x is divided; *label: of the x axis. */
static double print_places(const report_canvas_t *canvas, const report_t *report,
                           const report_curves_t *curves, const char **label) {
    range_t range = range_of(report, curves, false);
    double most = range.high;
    if (curves->axis == AXIS_NODES) {
        print_nodes(canvas, report, curves, range);
        *label = "nodes, log scale";
        return 1;
    }
    double unit = curves->axis == AXIS_SECONDS ? time_unit(most) : 1;
    *label = curves->axis == AXIS_STEP    ? "step"
             : curves->axis == AXIS_EPOCH ? "epoch"
             : unit == 1                  ? "training time (seconds)"
             : unit == 60                 ? "training time (minutes)"
                                          : "training time (hours)";
    if (curves->axis == AXIS_STEP && most >= 10000)
        fputs("set format x '%.0s%c'\n", canvas->script);
    fprintf(canvas->script, "set xrange [0:%.9g]\n", most > 0 ? most / unit * 1.01 : 1);
    report_marks_print(canvas, most / unit, curves->axis == AXIS_SECONDS ? 0 : 1);
    return unit;
}

/* The length of the axis is that without a key below it, which makes the picture taller. */
static void print_log_marks(const report_canvas_t *canvas, range_t range) {
    double low = range.low / 1.15, high = range.high * 1.15;
    fprintf(canvas->script, "set logscale y\nset yrange [%.6g:%.6g]\n", low, high);
    report_log_marks_print(canvas->script, low, high,
                           (canvas->narrow ? HEIGHT_NARROW : HEIGHT_WIDE) - TOP - REPORT_BELOW);
}

static void print_linear_marks(FILE *script, range_t range, bool zero) {
    double room = range.high > range.low ? 0.04 * (range.high - range.low) : 0.05 * fabs(range.low);
    if (room <= 0) room = 1;
    double step = report_round_up((range.high - range.low + 2 * room) / 7);
    int decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
    fprintf(script, "set yrange [%.9g:%.9g]\nset ytics %.9g\nset format y '%%.%df'\n",
            zero ? 0 : range.low - room, range.high + room, step, decimals);
}

static void print_values(const report_canvas_t *canvas, const report_t *report,
                         const report_curves_t *curves) {
    range_t range = range_of(report, curves, true);
    bool zero = curves->scale == SCALE_ZERO || curves->scale == SCALE_AUTO_ZERO;
    bool wide = !curves->band && range.low > 0 &&
                range.high / range.low > (zero ? WIDE_FROM_ZERO : WIDE_SPREAD);
    bool log = curves->scale == SCALE_LOG || (curves->scale != SCALE_ZERO && wide);
    fprintf(canvas->script,
            "set label 1 '%s%s' at screen %.4f, screen %.4f left tc rgb '#333333'\n", curves->label,
            log ? ", log scale" : "", 8.0 / canvas->width, 1 - 12.0 / canvas->height);
    if (log) print_log_marks(canvas, range);
    else {
        if (zero) range.low = 0;
        print_linear_marks(canvas->script, range, zero);
    }
}

/* In a wide picture beside the plot, in a narrow one below it. */
static void print_key(const report_canvas_t *canvas, const report_t *report, int shown,
                      report_margins_t *margins) {
    double width = canvas->width, height = canvas->height;
    if (report->count == 1) fputs("unset key\n", canvas->script);
    else if (canvas->narrow) {
        margins->bottom += KEY_ROW * shown;
        fprintf(canvas->script,
                "set key at screen 0, screen %.4f left top vertical maxcols 1 maxrows %d Left "
                "reverse samplen 3\n",
                KEY_ROW * (shown + 0.2) / height, shown);
    } else {
        margins->right = 84 + KEY_LETTER * longest_label(report);
        fprintf(canvas->script,
                "set key at screen %.4f, screen %.4f left top vertical Left reverse samplen 3\n",
                1 - (margins->right - 4) / width, 1 - TOP / height);
    }
}

static void print_data(FILE *script, const report_curve_t *curve, const report_curves_t *curves,
                       const char *name, int run, double unit) {
    fprintf(script, "$%s%d << EOD\n", name, run);
    for (int i = 0; i < curve->count; i++) {
        const report_point_t *point = &curve->points[i];
        if (!drawn(point, curves)) continue;
        fprintf(script, "%.7g %.7g %.7g %.7g\n", place(point, curves->axis) / unit,
                curves->factor * point->value, curves->factor * point->low,
                curves->factor * point->high);
    }
    fputs("EOD\n", script);
}

static void print_band(FILE *script, const report_t *report, int run, int count) {
    report_style_t style = report_style(report, run);
    if (count > 1)
        fprintf(script,
                "$run%d using 1:3:4 with filledcurves fc rgb '%s' fs transparent solid 0.15 "
                "noborder notitle, \\\n",
                run, style.color);
    else
        fprintf(script, "$run%d using 1:2:3:4 with yerrorbars lc rgb '%s' lw 1 pt 0 notitle, \\\n",
                run, style.color);
}

static void print_dash(FILE *script, const report_style_t *style) {
    if (*style->dash) fprintf(script, " lw 2 dt (%s)", style->dash);
    else fputs(" lw 2 dt solid", script);
}

/* A line, its marks, and the entry of both in the key. The marks of different runs are
 * staggered. */
static void print_line(FILE *script, const report_t *report, const report_curve_t *curve, int run) {
    report_style_t style = report_style(report, run);
    int every = curve->count <= MOST_MARKS ? 1 : curve->count / (MOST_MARKS / 2);
    int first = (int)(every * (run + 0.5) / report->count);
    fprintf(script, "$run%d using 1:2 with lines lc rgb '%s'", run, style.color);
    print_dash(script, &style);
    fprintf(script,
            " notitle, \\\n$run%d using 1:2 every %d::%d with points lc rgb '%s' pt %d "
            "ps 0.8 notitle, \\\nNaN with linespoints lc rgb '%s' pt %d ps 0.8",
            run, every, first, style.color, style.mark, style.color, style.mark);
    print_dash(script, &style);
    fputs(" title ", script);
    gnuplot_text(script, report->runs[run].label);
    fputs(", \\\n", script);
}

/* Sorts the runs by their last value, the highest first, as the lines end at the right. */
static void sort_by_end(const report_t *report, const report_curves_t *curves, int *order) {
    for (int i = 0; i < report->count; i++) {
        const report_curve_t *curve = curve_of(&report->runs[i], curves);
        int at = i;
        for (; at > 0 && curve->count; at--) {
            const report_curve_t *other = curve_of(&report->runs[order[at - 1]], curves);
            if (other->count &&
                other->points[other->count - 1].value >= curve->points[curve->count - 1].value)
                break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
}

static bool has_crosses(const report_run_t *run, const report_curves_t *curves) {
    const report_curve_t *curve = crosses_of(run, curves);
    for (int i = 0; i < curve->count && curves->crosses; i++)
        if (drawn(&curve->points[i], curves)) return true;
    return false;
}

static void print_plot(FILE *script, const report_t *report, const report_curves_t *curves,
                       const int *order) {
    fputs("plot ", script);
    for (int i = 0; i < report->count && curves->band; i++)
        if (report_curves_show(&report->runs[i], curves))
            print_band(script, report, i, curve_of(&report->runs[i], curves)->count);
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[order[i]];
        if (report_curves_show(run, curves))
            print_line(script, report, curve_of(run, curves), order[i]);
        if (report_curves_show(run, curves) && has_crosses(run, curves))
            fprintf(script,
                    "$cross%d using 1:2 with points lc rgb '%s' pt 2 ps 0.9 lw 2 notitle, \\\n",
                    order[i], report_style(report, order[i]).color);
    }
    fputs("NaN notitle\n", script);
}

void report_curves_print(const report_canvas_t *canvas, const report_t *report,
                         const report_curves_t *curves) {
    int *order = calloc((size_t)report->count, sizeof *order);
    if (!order) return;
    const char *label;
    report_margins_t margins = {canvas->narrow ? LEFT_NARROW : LEFT_WIDE, 16, TOP, REPORT_BELOW};
    double unit = print_places(canvas, report, curves, &label);
    print_values(canvas, report, curves);
    print_key(canvas, report, shown_runs(report, curves), &margins);
    report_margins_print(canvas, &margins, label);
    sort_by_end(report, curves, order);
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[i];
        print_data(canvas->script, curve_of(run, curves), curves, "run", i, unit);
        if (curves->crosses)
            print_data(canvas->script, crosses_of(run, curves), curves, "cross", i, unit);
    }
    print_plot(canvas->script, report, curves, order);
    free(order);
}

int report_curves_height(const report_t *report, bool narrow) {
    int key = report->count > 1 ? KEY_ROW * report->count : 0;
    if (narrow) return HEIGHT_NARROW + key;
    return key + 90 > HEIGHT_WIDE ? key + 90 : HEIGHT_WIDE;
}
