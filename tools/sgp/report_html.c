/* SPDX-License-Identifier: Apache-2.0 */
#include "report_html.h"

#include "report_table.h"
#include "report_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Plots stay on white, whatever the reader's colours: their own are chosen for it. The narrow
 * picture's letters are 13 pixels in 336, the wide one's 15 in 860: each takes over where the other
 * would be too small to read. */
static const char style_sheet[] =
    ":root{color-scheme:light dark;--ink:#1d1d1f;--soft:#5c5f66;--line:#d9dce1;--page:#f4f5f7;"
    "--card:#fff;--note:#fff6dd}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e9eaec;--soft:#a6abb5;--line:#3a3e46;"
    "--page:#17181b;--card:#202226;--note:#3d3417}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:932px;margin:0 auto;padding:24px 16px 48px}\n"
    "h1{font-size:1.7em;line-height:1.2;margin:0 0 .3em;overflow-wrap:anywhere}\n"
    "h2{font-size:1.2em;margin:0 0 .2em}\n"
    "p{margin:.3em 0}\n"
    ".soft,figcaption{color:var(--soft)}\n"
    ".card,figure{background:var(--card);border:1px solid var(--line);border-radius:10px;"
    "margin:18px 0;padding:16px 20px;min-width:0;overflow-wrap:anywhere}\n"
    "figcaption{font-size:.9em;margin:0 0 10px}\n"
    ".note{background:var(--note)}\n"
    ".picture{background:#fff;border-radius:6px;padding:4px 0;overflow:hidden}\n"
    ".picture svg{display:block;width:100%;height:auto;max-width:860px;margin:0 auto}\n"
    ".narrow{display:none}\n"
    ".scroll{overflow-x:auto;max-width:100%}\n"
    "table{overflow-wrap:normal;border-collapse:collapse;font-size:.9em;font-variant-numeric:"
    "tabular-nums}\n"
    "th,td{padding:5px 10px;border-bottom:1px solid var(--line);text-align:left;"
    "vertical-align:bottom}\n"
    "td{white-space:nowrap;vertical-align:top}\n"
    "th.n,td.n{text-align:right}\n"
    "tr:last-child td{border-bottom:0}\n"
    ".runs td:first-child,.runs th:first-child{position:sticky;left:0;background:var(--card);"
    "font-weight:600;white-space:normal;max-width:270px}\n"
    "td small{display:block;white-space:nowrap;font-weight:400;color:var(--soft)}\n"
    ".sample{background:#fff;border-radius:3px;vertical-align:middle;flex:none}\n"
    ".name{display:flex;align-items:center;gap:8px}\n"
    "details{border-top:1px solid var(--line);padding:8px 0}\n"
    "summary{cursor:pointer}\n"
    "details h3{font-size:1em;margin:.8em 0 .2em}\n"
    "td.value{white-space:normal;overflow-wrap:anywhere}\n"
    "@media(max-width:767px){.runs td:first-child,.runs th:first-child{position:static}"
    "main{padding:16px 4px 32px}h1{padding:0 6px}"
    ".card,figure{padding:12px 7px;border-radius:6px}.wide{display:none}.narrow{display:block}"
    ".picture svg{max-width:520px}main>p:not(.card){padding:0 6px}}\n";

static const char *plural(int count) {
    return count == 1 ? "" : "s";
}

/* What the run is called by who reads; the whole path stands in the table. */
static void print_title(FILE *out, const report_t *report) {
    if (report->count > 1) fprintf(out, "Comparison of %d runs", report->count);
    else {
        fputs("Run ", out);
        text_html(out, report->runs[0].directory);
    }
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

static void print_head(FILE *out, const report_t *report) {
    char when[64];
    time_t now = time(NULL);
    struct tm local;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime_r(&now, &local));
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          out);
    print_title(out, report);
    fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", style_sheet);
    print_title(out, report);
    fputs("</h1>\n<p>", out);
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

/* The run's mark, as gnuplot draws it. */
static void print_mark(FILE *out, const report_style_t *style) {
    static const struct {
        int mark;
        const char *shape;
    } shapes[] = {
        {7, "<circle cx=\"18\" cy=\"7\" r=\"4\" %s/>"},
        {6, "<circle cx=\"18\" cy=\"7\" r=\"4\" %s/>"},
        {5, "<rect x=\"14\" y=\"3\" width=\"8\" height=\"8\" %s/>"},
        {4, "<rect x=\"14\" y=\"3\" width=\"8\" height=\"8\" %s/>"},
        {9, "<path d=\"M18 2l5 8h-10z\" %s/>"},
        {11, "<path d=\"M18 12l5-8h-10z\" %s/>"},
        {13, "<path d=\"M18 1.5l5.5 5.5-5.5 5.5-5.5-5.5z\" %s/>"},
    };
    char paint[64];
    bool open = style->mark == 6 || style->mark == 4;
    snprintf(paint, sizeof paint, open ? "fill=\"none\" stroke=\"%s\"" : "fill=\"%s\"",
             style->color);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (shapes[i].mark != style->mark) continue;
        const char *hole = strstr(shapes[i].shape, "%s");
        fprintf(out, "%.*s%s%s", (int)(hole - shapes[i].shape), shapes[i].shape, paint, hole + 2);
    }
}

/* The table is the legend as well. */
static void print_sample(FILE *out, int run) {
    report_style_t style = report_style(run);
    fprintf(out,
            "<svg class=\"sample\" width=\"36\" height=\"14\" viewBox=\"0 0 36 14\" "
            "aria-hidden=\"true\"><path d=\"M0 7h36\" fill=\"none\" stroke=\"%s\" "
            "stroke-width=\"2\" stroke-dasharray=\"%s\"/>",
            style.color, *style.dash ? style.dash : "none");
    print_mark(out, &style);
    fputs("</svg>", out);
}

static void print_row(FILE *out, const report_t *report, int number) {
    const report_run_t *run = &report->runs[number];
    char state[80];
    report_state(run, state);
    fputs("<tr><td><div class=\"name\">", out);
    if (report->count > 1) print_sample(out, number);
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

static void print_plot(FILE *out, const report_plot_t *plot) {
    fprintf(out, "<figure id=\"%s\">\n<h2>%s</h2>\n<figcaption>", plot->name, plot->title);
    text_html(out, plot->note ? plot->note : "");
    fputs("</figcaption>\n", out);
    if (plot->wide && plot->narrow)
        fprintf(out,
                "<div class=\"picture wide\">%s</div>\n<div class=\"picture narrow\">%s</div>\n",
                plot->wide, plot->narrow);
    else fputs("<p>There is nothing to draw.</p>\n", out);
    fputs("</figure>\n", out);
}

static void print_value(FILE *out, const json_t *value) {
    char *text = json_is_string(value)
                     ? text_clean(json_string_value(value))
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    text_html(out, text ? text : "");
    free(text);
}

/* One part of config.json, such as its options. */
static void print_part(FILE *out, const char *name, json_t *part) {
    const char *key;
    json_t *value;
    char *clean = text_clean(name);
    fputs("<h3>", out);
    text_html(out, clean ? clean : "");
    fputs("</h3>\n<div class=\"scroll\"><table>\n", out);
    free(clean);
    json_object_foreach(part, key, value) {
        clean = text_clean(key);
        fputs("<tr><td>", out);
        text_html(out, clean ? clean : "");
        fputs("</td><td class=\"value\">", out);
        print_value(out, value);
        fputs("</td></tr>\n", out);
        free(clean);
    }
    fputs("</table></div>\n", out);
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
    json_object_foreach(run->config, key, part) if (json_is_object(part))
        print_part(out, key, part);
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
    for (int i = 0; i < REPORT_PLOTS; i++) print_plot(out, &plots[i]);
    fputs("<section class=\"card\">\n<h2>Configuration</h2>\n", out);
    for (int i = 0; i < report->count; i++) print_configuration(out, &report->runs[i]);
    fputs("</section>\n</main>\n</body>\n</html>\n", out);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
