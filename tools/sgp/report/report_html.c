/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_html.h"

#include "cli/output.h"
#include "report/report_facts.h"
#include "report/report_headline.h"
#include "report/report_losses.h"
#include "report/report_page.h"
#include "report/report_table.h"
#include "cli/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DOT " \xc2\xb7 "

/* Results first. The settings that differ are below a run's name. */
static const report_column_t columns[] = {
    {.title = "accuracy", .key = "average_model_accuracy", .type = CELL_PERCENT},
    {.title = "top-5 accuracy",
     .key = "average_model_top5_accuracy",
     .type = CELL_PERCENT,
     .optional = true},
    {.title = "training time", .key = "seconds", .type = CELL_DURATION},
    {.title = "samples/s", .key = "samples_per_second", .type = CELL_COUNT},
    {.title = "step, ms", .key = "step_ms.mean", .type = CELL_FIXED, .decimals = 2},
    {.title = "waiting, ms", .key = "wait_ms", .type = CELL_FIXED, .decimals = 2},
    {.title = "worst node", .key = "test_accuracy.min", .type = CELL_PERCENT},
    {.title = "best node", .key = "test_accuracy.max", .type = CELL_PERCENT},
    {.title = "consensus distance", .key = "consensus_distance", .type = CELL_SCIENTIFIC},
    {.title = "messages sent", .key = "messages.sent", .type = CELL_COUNT},
};

enum { COLUMNS = sizeof columns / sizeof columns[0] };

static const char *plural(int count) {
    return count == 1 ? "" : "s";
}

/* ---- the head ---- */

static void print_head(FILE *out, const report_t *report) {
    char title[3 * OUTPUT_PATH + 32];
    if (report->count > 1) snprintf(title, sizeof title, "Comparison of %d runs", report->count);
    else snprintf(title, sizeof title, "Run %s", report->runs[0].directory);
    page_begin(out, title);
    char *shared = report_facts_shared(report, DOT);
    fputs("<p class=\"soft\">", out);
    text_html(out, shared ? shared : "");
    fputs("</p>\n", out);
    free(shared);
}

/* A sentence about a run that did not finish. */
static void print_ending(FILE *out, const report_run_t *run) {
    char state[REPORT_STATE];
    bool unfinished = strcmp(run->status, "unfinished") == 0;
    const char *verb = unfinished ? "is " : strcmp(run->status, "interrupted") == 0 ? "was " : "";
    fprintf(out, " %s", verb);
    text_html(out, report_state(run, state));
    if (run->reason) {
        fputs(": ", out);
        text_html(out, run->reason);
    }
    size_t length = run->reason ? strlen(run->reason) : 0;
    if (length == 0 || !strchr(".!?", run->reason[length - 1])) fputc('.', out);
    if (unfinished)
        fputs(run->running ? " It is still running, and the figures are those up to now."
                           : " It was interrupted: summary.json is missing, and the figures are "
                             "those up to its last lines.",
              out);
    else if (run->epochs_done > 0 && strcmp(run->status, "diverged") != 0)
        fprintf(out, " Its figures are those of epoch %d.", run->epochs_done);
}

/* Fields that earlier versions did not write are not finite. */
static bool has_bad_pictures(const report_run_t *run) {
    return report_number(run, "bad_pictures.replaced") > 0 ||
           report_number(run, "bad_pictures.left_out") > 0;
}

static void print_bad_pictures(FILE *out, const report_run_t *run) {
    int replaced = (int)report_number(run, "bad_pictures.replaced");
    int left_out = (int)report_number(run, "bad_pictures.left_out");
    fprintf(
        out,
        " Pictures that could not be read, counted anew in each epoch: %d in training, with the "
        "next one in place of each, and %d left out of the test set.",
        replaced, left_out);
}

static void print_losses(FILE *out, const report_run_t *run) {
    char *losses = report_losses(run);
    fputc(' ', out);
    text_html(out, losses ? losses : "");
    fputs(" The figures are those of the nodes that were there at the end.", out);
    free(losses);
}

/* A banner for each run that did not finish or lost nodes, or whose metrics or pictures are damaged or missing. */
static void print_banners(FILE *out, const report_t *report) {
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[i];
        bool empty = run->loss.count + run->accuracy.count + run->node_count == 0;
        bool whole =
            !run->damaged_lines && !empty && !has_bad_pictures(run) && !report_has_losses(run);
        if (report_finished(run) && whole) continue;
        fprintf(out, "<p class=\"card note%s\"><b>", report_finished(run) ? "" : " bad");
        text_html(out, run->label);
        fputs("</b>", out);
        if (!report_finished(run)) print_ending(out, run);
        if (empty) fputs(" It has no measurements (metrics.jsonl) to draw.", out);
        if (run->damaged_lines)
            fprintf(out, " %d damaged line%s of its metrics.jsonl %s left out.", run->damaged_lines,
                    plural(run->damaged_lines), run->damaged_lines == 1 ? "is" : "are");
        if (has_bad_pictures(run)) print_bad_pictures(out, run);
        if (report_has_losses(run)) print_losses(out, run);
        fputs("</p>\n", out);
    }
}

/* ---- the results ---- */

/* The optional column is a fraction; 1 is what every model reaches in the top five of at most five classes. */
static bool is_column(const report_t *report, const report_column_t *column) {
    for (int i = 0; i < report->count && column->optional; i++)
        if (report_number(&report->runs[i], column->key) < 1) return true;
    return !column->optional;
}

static void print_row(FILE *out, const report_t *report, int number) {
    const report_run_t *run = &report->runs[number];
    char state[REPORT_STATE], *own = report_facts_own(report, run, DOT);
    page_name_begin(out, report, number, run->label);
    page_name_line(out, report_state(run, state), true);
    page_name_line(out, own, false);
    page_name_line(out, report->count > 1 ? run->directory : NULL, false);
    page_name_end(out);
    free(own);
    for (int i = 0; i < COLUMNS; i++)
        if (is_column(report, &columns[i])) page_cell(out, run, &columns[i]);
    fputs("</tr>\n", out);
}

/* Pictures are evaluated in parts: a node's own model on the node's part alone. */
static bool has_pictures(const report_t *report) {
    for (int i = 0; i < report->count; i++) {
        const json_t *data = json_object_get(report->runs[i].config, "data");
        const char *format = json_string_value(json_object_get(data, "format"));
        if (format && (strcmp(format, "folder") == 0 || strcmp(format, "shards") == 0)) return true;
    }
    return false;
}

static void print_table(FILE *out, const report_t *report) {
    fprintf(out,
            "<section class=\"card\">\n<h2>Results</h2>\n"
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Results\">\n"
            "<table class=\"runs%s\">\n<thead><tr><th>run</th>",
            report->count == 1 ? " single" : "");
    for (int i = 0; i < COLUMNS; i++)
        if (is_column(report, &columns[i])) page_head_cell(out, &columns[i]);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (int i = 0; i < report->count; i++) print_row(out, report, i);
    fprintf(
        out,
        "</tbody>\n</table>\n</div>\n"
        "<p class=\"soft\">Accuracy is measured on the test set, for the model averaged over the "
        "nodes; worst and best node, for the nodes\xe2\x80\x99 own models%s. Step and waiting are "
        "means over steps and nodes. Training time excludes evaluation.</p>\n</section>\n",
        has_pictures(report) ? ", of pictures each on its part of the test set" : "");
}

/* ---- the rest ---- */

static void print_configuration(FILE *out, const report_run_t *run) {
    const char *key;
    json_t *part;
    fputs("<details><summary>", out);
    text_html(out, run->label);
    fputs(" <span class=\"soft\">", out);
    text_html(out, run->directory);
    fputs("/config.json</span></summary>\n", out);
    if (!run->config) fputs("<p>The file is missing.</p>\n", out);
    json_object_foreach(run->config, key, part) if (json_is_object(part)) page_part(out, key, part);
    fputs("</details>\n", out);
}

static void print_foot(FILE *out) {
    char when[64];
    time_t now = time(NULL);
    struct tm local;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime_r(&now, &local));
    fprintf(out, "<p class=\"soft\">Written by sgp " SGP_VERSION " on %s.</p>\n", when);
}

char *report_html(const report_t *report, const report_plot_t plots[REPORT_PLOTS]) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    print_head(out, report);
    report_headline(out, report);
    print_banners(out, report);
    print_table(out, report);
    for (int i = 0; i < REPORT_PLOTS && plots[i].name; i++) page_plot(out, &plots[i]);
    fputs("<section class=\"card\">\n<h2>Configuration</h2>\n", out);
    for (int i = 0; i < report->count; i++) print_configuration(out, &report->runs[i]);
    fputs("</section>\n", out);
    print_foot(out);
    page_end(out);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
