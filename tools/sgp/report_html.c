/* SPDX-License-Identifier: Apache-2.0 */
#include "report_html.h"

#include "output.h"
#include "report_page.h"
#include "report_table.h"
#include "report_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *plural(int count) {
    return count == 1 ? "" : "s";
}

/* The settings that all runs share, in a sentence. */
static void print_common(FILE *out, const report_t *report) {
    static const report_column_t shared[] = {
        {.title = "model", .key = "model"},
        {.title = "data", .key = "data"},
        {.title = "nodes", .key = "nodes", .type = CELL_COUNT},
        {.title = "epochs", .key = "epochs", .type = CELL_COUNT},
        {.title = "batch size per node", .key = "batch_size", .type = CELL_COUNT},
        {.title = "parameters", .key = "parameters", .type = CELL_COUNT},
        {.title = "seed", .key = "seed", .type = CELL_COUNT},
    };
    bool first = true;
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++) {
        if (report_differs(report, shared[i].key)) continue;
        if (!report_member(&report->runs[0], shared[i].key)) continue;
        char *cell = report_cell(&report->runs[0], &shared[i]);
        fprintf(out, "%s%s <b>", first ? "" : " \xc2\xb7 ", shared[i].title);
        text_html(out, cell ? cell : "");
        fputs("</b>", out);
        free(cell);
        first = false;
    }
}

/* What the run is called by who reads; the whole path stands in the table. */
static void print_head(FILE *out, const report_t *report) {
    char title[3 * OUTPUT_PATH + 32], when[64];
    time_t now = time(NULL);
    struct tm local;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime_r(&now, &local));
    if (report->count > 1) snprintf(title, sizeof title, "Comparison of %d runs", report->count);
    else snprintf(title, sizeof title, "Run %s", report->runs[0].directory);
    page_begin(out, title);
    fputs("<p>", out);
    print_common(out, report);
    fprintf(out, "</p>\n<p class=\"soft\">Written by sgp " SGP_VERSION " on %s.</p>\n", when);
}

/* What is missing, run by run. */
static void print_notices(FILE *out, const report_t *report) {
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[i];
        bool empty = run->loss.count + run->accuracy.count + run->node_count == 0;
        char state[80];
        report_state(run, state);
        if (!*state && !run->damaged_lines && !empty) continue;
        fputs("<p class=\"card note\"><b>", out);
        text_html(out, run->label);
        fputs("</b>", out);
        if (*state)
            fprintf(out,
                    " is %s. It was interrupted, or is still running: it has no summary.json, "
                    "and its numbers are those of its last whole epoch.",
                    state);
        if (empty) fputs(" It has no measurements (metrics.jsonl) to draw.", out);
        if (run->damaged_lines)
            fprintf(out, " %d damaged line%s of its metrics.jsonl %s left out.", run->damaged_lines,
                    plural(run->damaged_lines), run->damaged_lines == 1 ? "is" : "are");
        fputs("</p>\n", out);
    }
}

static void print_row(FILE *out, const report_t *report, int number) {
    const report_run_t *run = &report->runs[number];
    char state[80];
    report_state(run, state);
    fputs("<tr><td><div class=\"name\">", out);
    if (report->count > 1) page_sample(out, number);
    fputs("<span>", out);
    text_html(out, run->label);
    if (*state) fprintf(out, "<small>%s</small>", state);
    fputs("</span></div></td>", out);
    for (int i = 0; i < report_column_count; i++) {
        const report_column_t *column = &report_columns[i];
        if (!report_column_shown(report, column)) continue;
        char *cell = report_cell(run, column);
        fputs(column->type == CELL_TEXT ? "<td>" : "<td class=\"n\">", out);
        text_html(out, cell ? cell : "");
        fputs("</td>", out);
        free(cell);
    }
    fputs("<td>", out);
    text_html(out, run->directory);
    fputs("</td></tr>\n", out);
}

static void print_table(FILE *out, const report_t *report) {
    fputs("<section class=\"card\">\n<h2>Results</h2>\n"
          "<p class=\"soft\">Accuracies are fractions on the test set, over the nodes\xe2\x80\x99 "
          "own models and of the model averaged over them. Times are means of a step.</p>\n"
          "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Results\">\n"
          "<table class=\"runs\">\n<thead><tr><th>run</th>",
          out);
    for (int i = 0; i < report_column_count; i++) {
        const report_column_t *column = &report_columns[i];
        if (!report_column_shown(report, column)) continue;
        fprintf(out, "<th%s>%s</th>", column->type == CELL_TEXT ? "" : " class=\"n\"",
                column->title);
    }
    fputs("<th>directory</th></tr></thead>\n<tbody>\n", out);
    for (int i = 0; i < report->count; i++) print_row(out, report, i);
    fputs("</tbody>\n</table>\n</div>\n</section>\n", out);
}

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

char *report_html(const report_t *report, const report_plot_t plots[REPORT_PLOTS]) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    print_head(out, report);
    print_notices(out, report);
    print_table(out, report);
    for (int i = 0; i < REPORT_PLOTS && plots[i].name; i++) page_plot(out, &plots[i]);
    fputs("<section class=\"card\">\n<h2>Configuration</h2>\n", out);
    for (int i = 0; i < report->count; i++) print_configuration(out, &report->runs[i]);
    fputs("</section>\n", out);
    page_end(out);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
