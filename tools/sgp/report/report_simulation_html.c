/* SPDX-License-Identifier: Apache-2.0 */
/* The page about a simulation: the table, the plots, and the settings. */
#include "report/report_simulation_html.h"

#include "report/report_headline.h"
#include "report/report_page.h"
#include "report/report_table.h"
#include "simulate/simulated_algorithms.h"
#include "cli/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Results first. */
static const report_column_t columns[] = {
    {.title = "nodes", .key = "nodes", .type = CELL_COUNT},
    {.title = "step, ms", .key = "step_ms", .type = CELL_FIXED, .decimals = 2},
    {.title = "samples/s", .key = "samples_per_second", .type = CELL_COUNT},
    {.title = "efficiency", .key = "efficiency", .type = CELL_PERCENT},
    {.title = "hours, 90 epochs", .key = "hours_90_epochs", .type = CELL_FIXED, .decimals = 2},
    {.title = "with restarts",
     .key = "hours_90_epochs_with_restarts",
     .type = CELL_FIXED,
     .decimals = 2,
     .optional = true},
    {.title = "with losses",
     .key = "failures.hours_90_epochs",
     .type = CELL_FIXED,
     .decimals = 2,
     .optional = true},
    {.title = "distance", .key = "consensus_distance", .type = CELL_FIXED, .decimals = 3},
    {.title = "after, s",
     .key = "then.seconds",
     .type = CELL_FIXED,
     .decimals = 1,
     .optional = true},
    {.title = "steps then",
     .key = "then.steps",
     .type = CELL_FIXED,
     .decimals = 1,
     .optional = true},
    {.title = "distance then",
     .key = "then.consensus_distance",
     .type = CELL_FIXED,
     .decimals = 3,
     .optional = true},
    {.title = "waiting, ms", .key = "wait_ms", .type = CELL_FIXED, .decimals = 2},
    {.title = "mean node, ms", .key = "mean_node_ms", .type = CELL_FIXED, .decimals = 2},
    {.title = "scaling", .key = "scaling_efficiency", .type = CELL_PERCENT},
    {.title = "bytes sent", .key = "bytes_per_step", .type = CELL_SHORT},
};

enum { COLUMNS = sizeof columns / sizeof columns[0] };

static const json_t *rows_of(const report_t *report) {
    return json_object_get(report->simulation, "rows");
}

static const json_t *value_of(const report_t *report, size_t row, const report_column_t *column) {
    report_run_t run = {.result = json_array_get(rows_of(report), row)};
    return report_member(&run, column->key);
}

/* Whether several rows all have the same value: it is shown once, above the table. */
static bool is_shared(const report_t *report, const report_column_t *column) {
    size_t count = json_array_size(rows_of(report));
    const json_t *first = value_of(report, 0, column);
    bool same = count > 1 && json_is_number(first);
    for (size_t i = 1; i < count && same; i++)
        same = json_equal(first, value_of(report, i, column));
    return same;
}

static bool is_column(const report_t *report, const report_column_t *column) {
    if (is_shared(report, column)) return false;
    for (size_t i = 0; i < json_array_size(rows_of(report)) && column->optional; i++)
        if (value_of(report, i, column)) return true;
    return !column->optional;
}

/* ---- the head ---- */

/* "Simulation: resnet50 over ethernet-10g", clean; NULL: out of memory. */
static char *make_title(const json_t *simulation) {
    const json_t *settings = json_object_get(simulation, "settings");
    bool interrupted = json_is_true(json_object_get(simulation, "interrupted"));
    const json_t *network = json_object_get(settings, "network");
    const char *model = json_string_value(json_object_get(settings, "model"));
    const char *name = json_string_value(json_object_get(network, "name"));
    if (!name) name = json_string_value(json_object_get(network, "platform"));
    char *text = NULL, *clean = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    fprintf(out, "Simulation%s: ", interrupted ? ", interrupted" : "");
    if (model) fputs(model, out);
    else
        fprintf(out, "%.4g parameters", json_number_value(json_object_get(settings, "parameters")));
    if (name) fprintf(out, " over %s", name);
    if (fclose(out) == 0 && text) clean = text_clean(text);
    free(text);
    return clean;
}

static void print_command(FILE *out, const report_t *report) {
    const char *command = json_string_value(json_object_get(report->simulation, "command"));
    char *clean = command ? text_clean(command) : NULL;
    if (!clean) return;
    fputs("<p class=\"soft\">Made by <code>", out);
    text_html(out, clean);
    fputs("</code></p>\n", out);
    free(clean);
}

/* A row that a failure ended does not measure the settings. */
static void print_failures(FILE *out, const report_t *report) {
    const json_t *rows = rows_of(report);
    int ended = 0;
    for (size_t i = 0; i < json_array_size(rows); i++)
        ended += json_object_get(json_array_get(rows, i), "failure") != NULL;
    if (ended)
        fprintf(out,
                "<p class=\"card note\">%d of %zu rows ended early, because a node failed. "
                "Their figures are those of the steps before.</p>\n",
                ended, json_array_size(rows));
}

static void print_head(FILE *out, const report_t *report, bool drawn) {
    char *title = make_title(report->simulation);
    page_begin(out, title ? title : "Simulation");
    free(title);
    print_command(out, report);
    fputs("<p class=\"soft\">Simulated: nothing here was measured on a cluster.</p>\n", out);
    report_simulation_headline(out, report);
    print_failures(out, report);
    if (!drawn)
        fputs("<p class=\"card note\">The plots are missing because gnuplot was not installed. "
              "Install it (apt-get install gnuplot-nox) and run <code>sgp report</code> on this "
              "directory to draw them.</p>\n",
              out);
}

static void print_foot(FILE *out) {
    fputs("<p class=\"soft\">The algorithms\xe2\x80\x99 own code ran on a simulated cluster, with "
          "the "
          "settings above. Not simulated: lost packets, "
          "queues in switches, other traffic on the network, and the processor time of "
          "messages. Written by sgp " SGP_VERSION ".</p>\n",
          out);
}

/* ---- the table ---- */

static void print_failure(FILE *out, const json_t *row) {
    const json_t *failure = json_object_get(row, "failure");
    char text[128];
    if (!failure) return;
    snprintf(text, sizeof text, "ended after %.0f steps: node %.0f failed at %.6g s",
             json_number_value(json_object_get(row, "steps")),
             json_number_value(json_object_get(failure, "node")),
             json_number_value(json_object_get(failure, "seconds")));
    page_name_line(out, text, true);
}

static int run_of(const report_t *report, const char *label) {
    for (int i = 0; i < report->count; i++)
        if (strcmp(report->runs[i].label, label) == 0) return i;
    return 0;
}

static void print_row(FILE *out, const report_t *report, json_t *row) {
    report_run_t run = {.result = row};
    char *label = text_clean(json_string_value(json_object_get(row, "algorithm")));
    if (!label) return;
    page_name_begin(out, report, run_of(report, label), label);
    print_failure(out, row);
    page_name_end(out);
    for (int i = 0; i < COLUMNS; i++)
        if (is_column(report, &columns[i])) page_cell(out, &run, &columns[i]);
    fputs("</tr>\n", out);
    free(label);
}

static void print_shared(FILE *out, const report_t *report) {
    report_run_t run = {.result = json_array_get(rows_of(report), 0)};
    int count = 0;
    for (int i = 0; i < COLUMNS; i++) {
        if (!is_shared(report, &columns[i])) continue;
        char *cell = report_cell(&run, &columns[i]);
        fprintf(out, "%s%s ", count++ ? " \xc2\xb7 " : "<p>In all rows: ", columns[i].title);
        text_html(out, cell ? cell : "");
        free(cell);
    }
    if (count) fputs("</p>\n", out);
}

static void print_table(FILE *out, const report_t *report) {
    const json_t *rows = rows_of(report);
    fputs("<section class=\"card\">\n<h2>Results</h2>\n", out);
    print_shared(out, report);
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Results\">\n"
          "<table class=\"runs rows\">\n<thead><tr><th>algorithm</th>",
          out);
    for (int i = 0; i < COLUMNS; i++)
        if (is_column(report, &columns[i])) page_head_cell(out, &columns[i]);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t i = 0; i < json_array_size(rows); i++)
        print_row(out, report, json_array_get(rows, i));
    fputs(
        "</tbody>\n</table>\n</div>\n"
        "<p class=\"soft\">All figures are of the steps after the warm-up. Step: the time until "
        "the "
        "last node has made its steps, divided by their number; samples, efficiency and hours are "
        "derived from it. Mean node and waiting: means of the nodes\xe2\x80\x99 own steps. "
        "Scaling: "
        "samples per second and node, relative to the algorithm\xe2\x80\x99s first row. Distance: "
        "of the nodes from their mean at the end, in units of the noise that a step adds. Bytes "
        "sent: by one node in one step.</p>\n"
        "</section>\n",
        out);
}

/* ---- settings ---- */

static void print_algorithms(FILE *out, const report_t *report) {
    json_t *known = json_object();
    for (int i = 0; i < report->count; i++) {
        const simulation_algorithm_t *algorithm = simulation_algorithm_find(report->runs[i].label);
        if (algorithm) json_object_set_new(known, algorithm->name, json_string(algorithm->about));
    }
    if (json_object_size(known) > 0) page_part(out, "Algorithms", known);
    json_decref(known);
}

/* Nested members become one level: "compute_ms.mean". */
static void flatten(json_t *object, const char *above, json_t *flat) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        char name[128];
        snprintf(name, sizeof name, "%s%s%s", above, *above ? "." : "", key);
        if (json_is_object(value) && strlen(above) < sizeof name / 2) flatten(value, name, flat);
        else json_object_set(flat, name, value);
    }
}

static void print_part(FILE *out, const report_t *report, const char *title, const char *key) {
    json_t *flat = json_object();
    flatten(json_object_get(report->simulation, key), "", flat);
    if (json_object_size(flat) > 0) page_part(out, title, flat);
    json_decref(flat);
}

char *report_simulation_html(const report_t *report, const report_plot_t *plots) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    print_head(out, report, plots != NULL);
    print_table(out, report);
    for (int i = 0; plots && i < REPORT_PLOTS && plots[i].name; i++) page_plot(out, &plots[i]);
    fputs("<section class=\"card\">\n<h2>Settings and algorithms</h2>\n", out);
    print_algorithms(out, report);
    print_part(out, report, "Settings", "settings");
    print_part(out, report, "Constants", "constants");
    fputs("</section>\n", out);
    print_foot(out);
    page_end(out);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
