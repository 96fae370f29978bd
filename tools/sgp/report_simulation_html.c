/* SPDX-License-Identifier: Apache-2.0 */
/* The page about a simulation: plots, the table, which may be long, and all that the cluster was told. */
#include "report_page.h"
#include "report_simulation.h"
#include "report_table.h"
#include "report_text.h"
#include "simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* if_differs: only where a row has it. */
static const report_column_t columns[] = {
    {.title = "nodes", .key = "nodes", .type = CELL_COUNT},
    {.title = "step ms", .key = "step_ms", .type = CELL_FIXED, .decimals = 2},
    {.title = "mean node ms", .key = "mean_node_ms", .type = CELL_FIXED, .decimals = 2},
    {.title = "waiting ms", .key = "wait_ms", .type = CELL_FIXED, .decimals = 2},
    {.title = "samples/s", .key = "samples_per_second", .type = CELL_FIXED},
    {.title = "efficiency", .key = "efficiency", .type = CELL_FIXED, .decimals = 3},
    {.title = "scaling", .key = "scaling_efficiency", .type = CELL_FIXED, .decimals = 3},
    {.title = "hours, 90 epochs", .key = "hours_90_epochs", .type = CELL_FIXED, .decimals = 2},
    {.title = "with restarts",
     .key = "hours_90_epochs_with_restarts",
     .type = CELL_FIXED,
     .decimals = 2,
     .if_differs = true},
    {.title = "distance", .key = "consensus_distance", .type = CELL_FIXED, .decimals = 3},
    {.title = "after s",
     .key = "then.seconds",
     .type = CELL_FIXED,
     .decimals = 1,
     .if_differs = true},
    {.title = "steps then",
     .key = "then.steps",
     .type = CELL_FIXED,
     .decimals = 1,
     .if_differs = true},
    {.title = "distance then",
     .key = "then.consensus_distance",
     .type = CELL_FIXED,
     .decimals = 3,
     .if_differs = true},
    {.title = "bytes sent", .key = "bytes_per_step", .type = CELL_COUNT},
};

enum { COLUMNS = sizeof columns / sizeof columns[0] };

static const json_t *rows_of(const report_t *report) {
    return json_object_get(report->simulation, "rows");
}

/* A column that only some simulations have. */
static bool shown(const report_t *report, const report_column_t *column) {
    const json_t *rows = rows_of(report);
    for (size_t i = 0; i < json_array_size(rows) && column->if_differs; i++) {
        report_run_t run = {.result = json_array_get(rows, i)};
        if (report_member(&run, column->key)) return true;
    }
    return !column->if_differs;
}

/* ---- the head ---- */

/* "resnet50 over ethernet-10g", clean; NULL when out of memory. */
static char *make_title(const json_t *settings) {
    const json_t *network = json_object_get(settings, "network");
    const char *model = json_string_value(json_object_get(settings, "model"));
    const char *name = json_string_value(json_object_get(network, "name"));
    if (!name) name = json_string_value(json_object_get(network, "platform"));
    char *text = NULL, *clean = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    fputs("Simulation: ", out);
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
    fputs("<p>Made by <code>", out);
    text_html(out, clean);
    fputs("</code></p>\n", out);
    free(clean);
}

static void print_head(FILE *out, const report_t *report, bool drawn) {
    char *title = make_title(json_object_get(report->simulation, "settings"));
    page_begin(out, title ? title : "Simulation");
    free(title);
    print_command(out, report);
    fputs("<p class=\"soft\">Nothing here was measured on a cluster: the algorithms\xe2\x80\x99 "
          "own code "
          "ran on one that is simulated, with the settings below. Left out are lost packets, the "
          "queues "
          "of switches, others on the network, and cores that messages take from gradients. "
          "Written by sgp " SGP_VERSION ".</p>\n",
          out);
    if (!drawn)
        fputs(
            "<p class=\"card note\">The plots are missing: gnuplot draws them, and was not there. "
            "When it is (apt-get install gnuplot-nox), <code>sgp report</code> and this directory "
            "make "
            "the page again.</p>\n",
            out);
}

/* ---- the table ---- */

static void print_failure(FILE *out, const json_t *row) {
    const json_t *failure = json_object_get(row, "failure");
    if (!failure) return;
    fprintf(out, "<small>ended after %.0f steps: node %.0f failed at %.6g s</small>",
            json_number_value(json_object_get(row, "steps")),
            json_number_value(json_object_get(failure, "node")),
            json_number_value(json_object_get(failure, "seconds")));
}

static void print_cells(FILE *out, const report_t *report, json_t *row) {
    report_run_t run = {.result = row};
    for (int i = 0; i < COLUMNS; i++) {
        if (!shown(report, &columns[i])) continue;
        char *cell = report_cell(&run, &columns[i]);
        fputs("<td class=\"n\">", out);
        text_html(out, cell ? cell : "");
        fputs("</td>", out);
        free(cell);
    }
}

static int run_of(const report_t *report, const char *label) {
    for (int i = 0; i < report->count; i++)
        if (strcmp(report->runs[i].label, label) == 0) return i;
    return 0;
}

static void print_row(FILE *out, const report_t *report, json_t *row) {
    char *label = text_clean(json_string_value(json_object_get(row, "algorithm")));
    fputs("<tr><td><div class=\"name\">", out);
    if (label && report->count > 1) page_sample(out, run_of(report, label));
    fputs("<span>", out);
    text_html(out, label ? label : "");
    print_failure(out, row);
    fputs("</span></div></td>", out);
    print_cells(out, report, row);
    fputs("</tr>\n", out);
    free(label);
}

static void print_table(FILE *out, const report_t *report) {
    const json_t *rows = rows_of(report);
    fputs("<section class=\"card\">\n<h2>Results</h2>\n"
          "<p class=\"soft\">Of the steps after the warm-up. Step: until the last node has made "
          "its steps, over their "
          "number; samples, efficiency and hours follow from it. Mean node and waiting: of the "
          "nodes\xe2\x80\x99 own steps. Scaling: samples per second and node, over the "
          "algorithm\xe2\x80\x99s first row. "
          "Distance: of the nodes from their mean at the end, in units of the noise that a step "
          "adds. "
          "Bytes sent: by a node in a step.</p>\n"
          "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Results\">\n"
          "<table class=\"runs rows\">\n<thead><tr><th>algorithm</th>",
          out);
    for (int i = 0; i < COLUMNS; i++)
        if (shown(report, &columns[i])) fprintf(out, "<th class=\"n\">%s</th>", columns[i].title);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t i = 0; i < json_array_size(rows); i++)
        print_row(out, report, json_array_get(rows, i));
    fputs("</tbody>\n</table>\n</div>\n</section>\n", out);
}

/* ---- what was simulated ---- */

static void print_algorithms(FILE *out, const report_t *report) {
    json_t *known = json_object();
    for (int i = 0; i < report->count; i++) {
        const simulate_algorithm_t *algorithm = simulate_algorithm(report->runs[i].label);
        if (algorithm) json_object_set_new(known, algorithm->name, json_string(algorithm->about));
    }
    if (json_object_size(known) > 0) page_part(out, "Algorithms", known);
    json_decref(known);
}

/* Members of members become members: "compute_ms.mean". */
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
    for (int i = 0; plots && i < REPORT_PLOTS && plots[i].name; i++) page_plot(out, &plots[i]);
    print_table(out, report);
    fputs("<section class=\"card\">\n<h2>What was simulated</h2>\n", out);
    print_algorithms(out, report);
    print_part(out, report, "Settings", "settings");
    print_part(out, report, "Constants", "constants");
    fputs("</section>\n", out);
    page_end(out);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
