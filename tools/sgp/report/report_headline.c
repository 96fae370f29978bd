/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_headline.h"

#include "report/report_number.h"
#include "cli/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Up to this many runs each have a sentence against the reference; of more, only the best have. */
enum { MOST_SENTENCES = 4 };

/* Times that differ by less than this fraction count as equal. */
#define SAME_TIME 0.005

static void begin(FILE *out) {
    fputs("<p class=\"lead\">", out);
}

static void end(FILE *out) {
    fputs(".</p>\n", out);
}

static void print_name(FILE *out, const report_run_t *run) {
    fputs("<b>", out);
    text_html(out, run->label);
    fputs("</b>", out);
}

static void print_percent(FILE *out, double fraction) {
    char text[NUMBER_TEXT];
    text_html(out, number_percent(fraction, text));
}

/* Prints both, or one if both have the same text. */
static void print_percents(FILE *out, double fraction, double reference) {
    char text[NUMBER_TEXT], other[NUMBER_TEXT];
    print_percent(out, fraction);
    if (strcmp(number_percent(fraction, text), number_percent(reference, other)) == 0) return;
    fputs(" against ", out);
    print_percent(out, reference);
}

/* "took 0.61 of <b>allreduce</b>'s time" */
static void print_time(FILE *out, double seconds, double reference, const report_run_t *other) {
    char text[NUMBER_TEXT];
    double ratio = seconds / reference;
    number_ratio(ratio, text);
    if (fabs(ratio - 1) < SAME_TIME) fputs("took as long as ", out);
    else if (ratio > 1) fprintf(out, "took %s times as long as ", text);
    else fprintf(out, "took %s of ", text);
    print_name(out, other);
    if (ratio <= 1 - SAME_TIME) fputs("\xe2\x80\x99s time", out);
}

/* ---- runs ---- */

static bool counts(const report_run_t *run) {
    return report_finished(run) && report_number(run, "seconds") > 0;
}

static bool same_option(const report_t *report, const char *key) {
    const json_t *first = NULL;
    for (int i = 0; i < report->count; i++) {
        const json_t *options = json_object_get(report->runs[i].config, "options");
        const json_t *value = json_object_get(options, key);
        if (first && value && !json_equal(first, value)) return false;
        if (!first) first = value;
    }
    return true;
}

/* Whether the runs trained the same model on the same data. */
static bool comparable(const report_t *report) {
    return !report_differs(report, "model") && !report_differs(report, "data") &&
           !report_differs(report, "epochs") && same_option(report, "limit_samples") &&
           same_option(report, "compute_ms");
}

/* The only run by all-reduce, else the first of two runs; NULL: neither. */
static const report_run_t *find_reference(const report_run_t *const *runs, int count) {
    const report_run_t *found = NULL;
    for (int i = 0; i < count; i++) {
        if (report_gossips(runs[i])) continue;
        if (found) return NULL;
        found = runs[i];
    }
    return found || count != 2 ? found : runs[0];
}

static void print_one(FILE *out, const report_run_t *run) {
    char time[NUMBER_TEXT], speed[NUMBER_TEXT];
    double accuracy = report_accuracy(run);
    begin(out);
    print_name(out, run);
    if (isfinite(accuracy)) {
        fputs(" reached ", out);
        print_percent(out, accuracy);
        fputs(" accuracy in ", out);
    } else fprintf(out, " made %s steps in ", number_count(report_number(run, "steps"), speed));
    fprintf(out, "%s of training, %s samples per second",
            number_duration(report_number(run, "seconds"), time),
            number_count(report_number(run, "samples_per_second"), speed));
    end(out);
}

static void print_pair(FILE *out, const report_run_t *run, const report_run_t *reference) {
    char points[96];
    double accuracy = report_accuracy(run), other = report_accuracy(reference);
    begin(out);
    print_name(out, run);
    fputc(' ', out);
    print_time(out, report_number(run, "seconds"), report_number(reference, "seconds"), reference);
    if (isfinite(accuracy) && isfinite(other)) {
        fprintf(out, ", with %s (", number_points(accuracy, other, "accuracy", points));
        print_percents(out, accuracy, other);
        fputc(')', out);
    }
    end(out);
}

static void print_best(FILE *out, const report_run_t *const *runs, int count) {
    const report_run_t *fastest = runs[0], *best = NULL;
    char time[NUMBER_TEXT];
    int equals = 0;
    for (int i = 0; i < count; i++) {
        double accuracy = report_accuracy(runs[i]);
        if (report_number(runs[i], "seconds") < report_number(fastest, "seconds"))
            fastest = runs[i];
        if (isfinite(accuracy) && (!best || accuracy > report_accuracy(best))) best = runs[i];
    }
    for (int i = 0; best && i < count; i++)
        equals += report_accuracy(runs[i]) == report_accuracy(best);
    begin(out);
    fputs("Fastest: ", out);
    print_name(out, fastest);
    fprintf(out, ", in %s", number_duration(report_number(fastest, "seconds"), time));
    end(out);
    if (!best) return;
    begin(out);
    if (equals == 1) {
        fputs("Most accurate: ", out);
        print_name(out, best);
        fputs(", with ", out);
    } else
        fprintf(out,
                equals == count ? "The accuracy is the same for all: "
                                : "Most accurate: %d runs, with ",
                equals);
    print_percent(out, report_accuracy(best));
    end(out);
}

static void print_several(FILE *out, const report_run_t *const *runs, int count) {
    const report_run_t *reference = find_reference(runs, count);
    if (!reference || count - 1 > MOST_SENTENCES) {
        print_best(out, runs, count);
        return;
    }
    for (int i = 0; i < count; i++)
        if (runs[i] != reference) print_pair(out, runs[i], reference);
}

void report_headline(FILE *out, const report_t *report) {
    const report_run_t **runs = calloc((size_t)report->count, sizeof *runs);
    int count = 0;
    if (!runs) return;
    for (int i = 0; i < report->count; i++)
        if (counts(&report->runs[i])) runs[count++] = &report->runs[i];
    if (count == 1) print_one(out, runs[0]);
    else if (count > 1 && comparable(report)) print_several(out, runs, count);
    free(runs);
}

/* ---- simulations ---- */

/* The value at a number of nodes; NAN: missing. */
static double value_at(const report_curve_t *curve, double nodes) {
    for (int i = 0; i < curve->count; i++)
        if (curve->points[i].step == nodes) return curve->points[i].value;
    return NAN;
}

static double most_nodes(const report_t *report) {
    double most = 0;
    for (int i = 0; i < report->count; i++) {
        const report_curve_t *curve = &report->runs[i].step_ms;
        if (curve->count) most = fmax(most, curve->points[curve->count - 1].step);
    }
    return most;
}

/* All-reduce, or the first run. */
static const report_run_t *simulated_reference(const report_t *report, double nodes) {
    const report_run_t *first = NULL;
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[i];
        if (!(value_at(&run->step_ms, nodes) > 0)) continue;
        if (strcmp(run->label, "allreduce") == 0) return run;
        if (!first) first = run;
    }
    return first;
}

/* NULL: no run has a step at that number of nodes. */
static const report_run_t *fastest_at(const report_t *report, double nodes) {
    const report_run_t *fastest = NULL;
    for (int i = 0; i < report->count; i++) {
        double step = value_at(&report->runs[i].step_ms, nodes);
        if (!(step > 0)) continue;
        if (!fastest || step < value_at(&fastest->step_ms, nodes)) fastest = &report->runs[i];
    }
    return fastest;
}

static void print_simulated(FILE *out, const report_run_t *run, const report_run_t *reference,
                            double nodes) {
    double step = value_at(&run->step_ms, nodes), other = value_at(&reference->step_ms, nodes);
    char count[NUMBER_TEXT];
    if (!(step > 0)) return;
    begin(out);
    fprintf(out, "On %s node%s a step of ", number_count(nodes, count), nodes == 1 ? "" : "s");
    print_name(out, run);
    fputc(' ', out);
    print_time(out, step, other, reference);
    fprintf(out, " (%.4g ms against %.4g ms)", step, other);
    end(out);
}

static void print_efficiency(FILE *out, const report_run_t *run, double nodes) {
    double step = value_at(&run->step_ms, nodes), efficiency = value_at(&run->efficiency, nodes);
    char count[NUMBER_TEXT];
    begin(out);
    fprintf(out, "On %s node%s a step of ", number_count(nodes, count), nodes == 1 ? "" : "s");
    print_name(out, run);
    fprintf(out, " takes %.4g ms", step);
    if (isfinite(efficiency)) {
        fputs(", at an efficiency of ", out);
        print_percent(out, efficiency);
    }
    end(out);
}

void report_simulation_headline(FILE *out, const report_t *report) {
    double nodes = most_nodes(report);
    const report_run_t *reference = simulated_reference(report, nodes);
    if (!reference) return;
    if (report->count == 1) print_efficiency(out, reference, nodes);
    const report_run_t *fastest = fastest_at(report, nodes);
    bool all = report->count - 1 <= MOST_SENTENCES;
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[i];
        if (run != reference && (all || run == fastest))
            print_simulated(out, run, reference, nodes);
    }
}
