/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_style.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From the palette of Okabe and Ito, and from Tol's for the algorithms that only a simulation has:
 * the colour-blind can tell them apart. */
static const struct {
    const char *algorithm, *color;
} colors[] = {
    {"sgp", "#0072B2"},
    {"osgp", "#009E73"},
    {"dpsgd", "#CC79A7"},
    {"adpsgd", "#E69F00"},
    {"allreduce", "#D55E00"},
    {"server", "#117733"},
    {"osgp-async", "#56B4E9"},
    {"allreduce-buckets", "#882255"},
    {"allreduce-ring", "#999933"},
    {"allreduce-tree", "#777777"},
};

/* A schedule of several algorithms, or an unknown one. */
#define OTHER_COLOR "#332288"

enum { COLORS = sizeof colors / sizeof colors[0] };

/* The runs of one algorithm in order: the part of white, or below 0 of black, in the colour. */
static const double shades[] = {0, 0.45, -0.45, 0.65, -0.7};

enum { SHADES = sizeof shades / sizeof shades[0] };

/* A simulation's runs are algorithms, named by their labels. */
static const char *color_of(const report_run_t *run) {
    const char *name =
        run->result ? json_string_value(report_member(run, "algorithm")) : run->label;
    for (int i = 0; name && i < COLORS; i++)
        if (strcmp(colors[i].algorithm, name) == 0) return colors[i].color;
    return OTHER_COLOR;
}

/* Towards white, or black. */
static void mix(const char *color, double part, char mixed[8]) {
    unsigned long all = strtoul(color + 1, NULL, 16), result = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
        double channel = (double)(all >> shift & 0xff), end = part > 0 ? 255 : 0;
        double amount = part > 0 ? part : -part;
        result |= (unsigned long)(channel + amount * (end - channel) + 0.5) << shift;
    }
    snprintf(mixed, 8, "#%06lX", result & 0xffffff);
}

void report_tint(const char color[8], double white, char tint[8]) {
    mix(color, white, tint);
}

report_style_t report_style(const report_t *report, int run) {
    static const char *const dashes[] = {"", "9,4", "2,3", "10,3,2,3", "5,2"};
    static const int marks[] = {7, 5, 9, 13, 11, 6, 4};
    const char *color = color_of(&report->runs[run]);
    report_style_t style = {.dash = dashes[run % 5], .mark = marks[run % 7]};
    int before = 0;
    for (int i = 0; i < run; i++) before += color_of(&report->runs[i]) == color;
    mix(color, shades[before % SHADES], style.color);
    return style;
}
