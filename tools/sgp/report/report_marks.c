/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_marks.h"

#include <math.h>
#include <stdlib.h>

/* The least distance between labels of a vertical axis, in pixels, and the most labels. */
enum { LABEL_GAP = 24, MOST_LABELS = 7 };

/* Marks of a logarithmic axis: multiples of every `stride`-th power of ten. */
typedef struct marks {
    int stride;
    int count;
    double digits[9]; /* (count) */
} marks_t;

/* The sparse ones first. Those behind 1, 2 and 5 are for axes on which the others give fewer than
 * three marks. */
static const marks_t choices[] = {
    {100, 1, {1}},
    {50, 1, {1}},
    {20, 1, {1}},
    {10, 1, {1}},
    {5, 1, {1}},
    {3, 1, {1}},
    {2, 1, {1}},
    {1, 1, {1}},
    {1, 2, {1, 3}},
    {1, 3, {1, 2, 5}},
    {1, 6, {1, 1.5, 2, 3, 5, 7}},
    {1, 9, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
};

enum { CHOICES = sizeof choices / sizeof choices[0], USUAL = CHOICES - 2, ENOUGH = 3, NONE = -1 };

double report_round_up(double value) {
    double power = pow(10, floor(log10(value)));
    double digits = value / power;
    return power * (digits <= 1 ? 1 : digits <= 2 ? 2 : digits <= 5 ? 5 : 10);
}

void report_marks_print(const report_canvas_t *canvas, double most, double least) {
    double step = most > 0 ? report_round_up(most / (canvas->narrow ? 4 : 8)) : 1;
    fprintf(canvas->script, "set xtics %.9g\n", step > least ? step : least);
}

/* The first power of ten of the marks that can matter from `low` on. */
static int first_power(const marks_t *marks, double low) {
    int power = (int)floor(log10(low));
    return (int)floor((double)power / marks->stride) * marks->stride;
}

/* Calls visit for each mark from low to high, in order. */
static void each_mark(const marks_t *marks, double low, double high,
                      void (*visit)(double mark, void *user), void *user) {
    for (int power = first_power(marks, low); power <= (int)ceil(log10(high));
         power += marks->stride)
        for (int i = 0; i < marks->count; i++) {
            double mark = marks->digits[i] * pow(10, power);
            if (mark >= low * (1 - 1e-9) && mark <= high * (1 + 1e-9)) visit(mark, user);
        }
}

typedef struct spacing {
    double last, closest; /* ratio of two marks */
    int count;
} spacing_t;

static void measure(double mark, void *user) {
    spacing_t *spacing = user;
    if (spacing->count++) spacing->closest = fmin(spacing->closest, mark / spacing->last);
    spacing->last = mark;
}

/* The densest choice whose labels have room, with two or more marks; NONE: there is none. */
static int choose(double low, double high, double pixels) {
    int best = NONE, most = 1;
    for (int i = 0; i < CHOICES && (i < USUAL || most < ENOUGH); i++) {
        spacing_t spacing = {.closest = INFINITY};
        each_mark(&choices[i], low, high, measure, &spacing);
        bool room = log(spacing.closest) / log(high / low) * pixels >= LABEL_GAP;
        if (spacing.count <= most || spacing.count > MOST_LABELS || !room) continue;
        best = i;
        most = spacing.count;
    }
    return best;
}

/* "0.02", "500", or "2·10⁻⁷" where that would be long. */
static void print_label(FILE *script, double mark) {
    static const char *const raised[] = {
        "\xe2\x81\xb0", "\xc2\xb9",     "\xc2\xb2",     "\xc2\xb3",     "\xe2\x81\xb4",
        "\xe2\x81\xb5", "\xe2\x81\xb6", "\xe2\x81\xb7", "\xe2\x81\xb8", "\xe2\x81\xb9"};
    if (mark >= 0.999e-3 && mark < 99999) {
        fprintf(script, "%.6g", mark);
        return;
    }
    int power = (int)floor(log10(mark) + 1e-9);
    double digits = round(mark / pow(10, power) * 1e4) / 1e4;
    if (digits != 1) fprintf(script, "%.6g\xc2\xb7", digits);
    fprintf(script, "10%s", power < 0 ? "\xe2\x81\xbb" : "");
    if (abs(power) >= 100) fputs(raised[abs(power) / 100], script);
    if (abs(power) >= 10) fputs(raised[abs(power) / 10 % 10], script);
    fputs(raised[abs(power) % 10], script);
}

typedef struct printer {
    FILE *script;
    int count;
} printer_t;

static void print_mark(double mark, void *user) {
    printer_t *printer = user;
    fputs(printer->count++ ? ", '" : "'", printer->script);
    print_label(printer->script, mark);
    fprintf(printer->script, "' %.9g", mark);
}

/* For a range without round numbers of one digit. */
static void print_even(printer_t *printer, double low, double high, double pixels) {
    double most = fmin(MOST_LABELS, pixels / LABEL_GAP);
    double step = high > low ? report_round_up((high - low) / fmax(most - 1, 1)) : low;
    for (double i = ceil(low / step); i * step <= high * (1 + 1e-9); i++)
        print_mark(i * step, printer);
}

void report_log_marks_print(FILE *script, double low, double high, double pixels) {
    printer_t printer = {script, 0};
    int best = choose(low, high, pixels);
    fputs("set ytics (", script);
    if (best == NONE) print_even(&printer, low, high, pixels);
    else each_mark(&choices[best], low, high, print_mark, &printer);
    fputs(")\n", script);
}
