/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_plot.h"

#include "cli/exit_status.h"
#include "report/gnuplot.h"
#include "report/report_bars.h"
#include "report/report_curves.h"
#include "cli/message.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct plot {
    const char *name, *title, *note;
    report_curves_t curves; /* label NULL: the bars */
} plot_t;

#define CURVE(member) offsetof(report_run_t, member)
#define COUNT(array)  (sizeof(array) / sizeof(array)[0])

static const plot_t run_kinds[] = {
    {"loss-epochs",
     "Training loss over epochs",
     "Mean over the nodes of each step\xe2\x80\x99s own batch.",
     {CURVE(loss), AXIS_EPOCH, "training loss", false, 0, SCALE_AUTO, 1}},
    {"loss-time",
     "Training loss over time",
     "The same over training time, which excludes evaluation.",
     {CURVE(loss), AXIS_SECONDS, "training loss", false, 0, SCALE_AUTO, 1}},
    {"accuracy-epochs",
     "Test accuracy over epochs",
     "Each node evaluates its own model. Line: mean over the nodes; band: worst to best node.",
     {CURVE(accuracy), AXIS_EPOCH, "test accuracy, %", true, 0, SCALE_AUTO, 100}},
    {"accuracy-time",
     "Test accuracy over time",
     "The same over training time, which excludes evaluation.",
     {CURVE(accuracy), AXIS_SECONDS, "test accuracy, %", true, 0, SCALE_AUTO, 100}},
    {"consensus",
     "Consensus distance over steps",
     "Distance of the nodes from their mean: root mean square of |z \xe2\x88\x92 mean| / |mean|.",
     {CURVE(consensus), AXIS_STEP, "relative distance", false, CURVE(evaluations), SCALE_LOG, 1}},
    {"step-time",
     "Where a step\xe2\x80\x99s time goes",
     "Mean over the steps of each node. Compute: the gradient of a batch. Update and push: "
     "optimizer step, sending and absorbing. Wait: sleeping until messages arrive.",
     {.label = NULL}},
};

static const plot_t simulation_kinds[] = {
    {"step-nodes",
     "Time of a step over nodes",
     "Time until the last node has made its steps, divided by their number. A flat curve is ideal: "
     "more nodes do more work in the same time.",
     {CURVE(step_ms), AXIS_NODES, "milliseconds per step", false, 0, SCALE_AUTO_ZERO, 1}},
    {"efficiency-nodes",
     "Scaling efficiency over nodes",
     "Time of the gradient divided by time of the step: the work of n nodes, relative to n times "
     "one node that never waits.",
     {CURVE(efficiency), AXIS_NODES, "efficiency, %", false, 0, SCALE_ZERO, 100}},
    {"hours-nodes",
     "Hours for 90 epochs over nodes",
     "ImageNet, 1,281,167 images, without evaluation. The batch size is per node, so twice the "
     "nodes make half as many steps.",
     {CURVE(hours), AXIS_NODES, "hours", false, 0, SCALE_LOG, 1}},
};

static bool shows(const plot_t *kind, const report_run_t *run) {
    return kind->curves.label ? report_curves_show(run, &kind->curves) : report_bars_show(run);
}

static void print_missing(FILE *out, const report_t *report, const plot_t *kind) {
    int missing = 0;
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[i];
        if (shows(kind, run)) continue;
        fprintf(out, missing++ ? ", %s" : " Not shown: %s", run->label);
        if (kind->curves.scale == SCALE_LOG && report_number(run, "consensus_distance") == 0)
            fputs(" (exactly 0 at the end)", out);
    }
    if (missing) fputc('.', out);
}

static void print_thinned(FILE *out, const report_t *report) {
    int most = report_bars_most(report);
    for (int i = 0; i < report->count; i++) {
        if (report->runs[i].node_count <= most) continue;
        fprintf(out,
                " Of more than %d nodes, %d are shown, from the one that waits least to the one "
                "that waits most.",
                most, most);
        return;
    }
}

/* NULL when out of memory. */
static char *make_note(const report_t *report, const plot_t *kind) {
    char *note = NULL;
    size_t length;
    FILE *out = open_memstream(&note, &length);
    if (!out) return NULL;
    fputs(kind->note, out);
    for (int i = 0; i < report->count && kind->curves.crosses; i++) {
        if (report->runs[i].evaluations.count == 0) continue;
        fputs(" Crosses: at evaluations, when no message is in flight.", out);
        break;
    }
    if (!kind->curves.label) print_thinned(out, report);
    print_missing(out, report, kind);
    if (fclose(out) == 0) return note;
    free(note);
    return NULL;
}

/* NULL after a line about what went wrong. */
static char *draw(const report_t *report, const plot_t *kind, bool narrow) {
    char *text = NULL, *svg = NULL, name[64];
    size_t length;
    bool bars = !kind->curves.label;
    report_canvas_t canvas = {open_memstream(&text, &length), narrow, report_canvas_width(narrow),
                              0};
    if (!canvas.script) {
        message_error("out of memory for a plot");
        return NULL;
    }
    canvas.height =
        bars ? report_bars_height(report, narrow) : report_curves_height(report, narrow);
    report_canvas_begin(&canvas);
    if (bars) report_bars_print(&canvas, report);
    else report_curves_print(&canvas, report, &kind->curves);
    snprintf(name, sizeof name, "%s-%s", kind->name, narrow ? "narrow" : "wide");
    if (fclose(canvas.script) == 0 && text) svg = gnuplot_svg(text, length, name, kind->title);
    free(text);
    return svg;
}

static int kinds_of(const report_t *report, const plot_t **kinds) {
    *kinds = report->simulation ? simulation_kinds : run_kinds;
    return (int)(report->simulation ? COUNT(simulation_kinds) : COUNT(run_kinds));
}

int report_plots_draw(const report_t *report, report_plot_t plots[REPORT_PLOTS]) {
    const plot_t *kinds;
    int count = kinds_of(report, &kinds);
    memset(plots, 0, REPORT_PLOTS * sizeof *plots);
    for (int i = 0; i < count; i++) {
        const plot_t *kind = &kinds[i];
        report_plot_t *plot = &plots[i];
        bool any = false;
        for (int run = 0; run < report->count; run++) any = any || shows(kind, &report->runs[run]);
        plot->name = kind->name;
        plot->title = kind->title;
        plot->note = make_note(report, kind);
        if (!any) continue;
        plot->wide = draw(report, kind, false);
        plot->narrow = plot->wide ? draw(report, kind, true) : NULL;
        if (!plot->narrow) return EXIT_FAILED;
    }
    return 0;
}

void report_plots_release(report_plot_t plots[REPORT_PLOTS]) {
    for (int i = 0; i < REPORT_PLOTS; i++) {
        free(plots[i].note);
        free(plots[i].wide);
        free(plots[i].narrow);
    }
}
