/* SPDX-License-Identifier: Apache-2.0 */
/* Reads simulation.json into curves: one per algorithm, over the number of nodes. */
#include "report/report_simulation.h"

#include "cli/exit_status.h"
#include "report/gnuplot.h"
#include "report/report_simulation_html.h"
#include "cli/message.h"
#include "cli/text.h"

#include "files/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* false: longer than a path can be. */
static bool path_of(const char *directory, char path[OUTPUT_PATH]) {
    return snprintf(path, OUTPUT_PATH, "%s/" SIMULATION_FILE, directory) < OUTPUT_PATH;
}

bool report_simulation_is(const char *directory) {
    char path[OUTPUT_PATH];
    return path_of(directory, path) && access(path, F_OK) == 0;
}

/* ---- reading ---- */

static const char *name_of(const json_t *row) {
    return json_string_value(json_object_get(row, "algorithm"));
}

/* Returns the problem of the file, or NULL. */
static const char *check(const json_t *simulation) {
    const json_t *rows = json_object_get(simulation, "rows");
    const char *kind = json_string_value(json_object_get(simulation, "kind"));
    if (!kind || strcmp(kind, "simulation") != 0) return "its \"kind\" is not \"simulation\"";
    if (!json_is_object(json_object_get(simulation, "settings"))) return "it has no \"settings\"";
    if (json_array_size(rows) == 0) return "it has no \"rows\"";
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!name_of(row) || json_integer_value(json_object_get(row, "nodes")) < 1)
            return "a row has no \"algorithm\" or no \"nodes\"";
    }
    return NULL;
}

/* The run with that label, added if it is missing; NULL: out of memory. report->runs has room. */
static report_run_t *find_run(report_t *report, const char *name) {
    char *label = text_clean(name);
    if (!label) return NULL;
    for (int i = 0; i < report->count; i++) {
        if (strcmp(report->runs[i].label, label) != 0) continue;
        free(label);
        return &report->runs[i];
    }
    report->runs[report->count].label = label;
    return &report->runs[report->count++];
}

/* Keeps the points in the order of nodes. */
static bool add_point(report_curve_t *curve, double nodes, const json_t *value) {
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!isfinite(number)) return true;
    if (curve->count == curve->room) {
        int room = curve->room ? 2 * curve->room : 16;
        report_point_t *more = realloc(curve->points, (size_t)room * sizeof *more);
        if (!more) return false;
        curve->points = more;
        curve->room = room;
    }
    int at = curve->count++;
    for (; at > 0 && curve->points[at - 1].step > nodes; at--)
        curve->points[at] = curve->points[at - 1];
    curve->points[at] =
        (report_point_t){.step = nodes, .value = number, .low = number, .high = number};
    return true;
}

static bool add_row(report_t *report, const json_t *row) {
    double nodes = json_number_value(json_object_get(row, "nodes"));
    report_run_t *run = find_run(report, name_of(row));
    return run && add_point(&run->step_ms, nodes, json_object_get(row, "step_ms")) &&
           add_point(&run->efficiency, nodes, json_object_get(row, "efficiency")) &&
           add_point(&run->hours, nodes, json_object_get(row, "hours_90_epochs"));
}

static int add_rows(report_t *report) {
    const json_t *rows = json_object_get(report->simulation, "rows");
    size_t count = json_array_size(rows);
    bool added = (report->runs = calloc(count, sizeof *report->runs));
    for (size_t i = 0; i < count && added; i++) added = add_row(report, json_array_get(rows, i));
    if (added) return 0;
    message_error("out of memory for %zu rows", count);
    return EXIT_FAILED;
}

static int read_simulation(const char *directory, report_t *report) {
    char path[OUTPUT_PATH];
    json_error_t error;
    if (!path_of(directory, path)) {
        message_error("%s: %s", directory, strerror(ENAMETOOLONG));
        return EXIT_MISTAKE;
    }
    report->simulation = files_json_load(path, 0, &error);
    const char *wrong = report->simulation ? check(report->simulation) : error.text;
    if (!wrong) return add_rows(report);
    message_error("%s: %s", path, wrong);
    return EXIT_MISTAKE;
}

/* ---- writing ---- */

static int write_page(const char *output, char *text) {
    if (!text) {
        message_error("%s/" REPORT_FILE ": out of memory", output);
        return EXIT_FAILED;
    }
    atomic_file_part_t part = {text, strlen(text)};
    sgp_status_t status = atomic_file_replace(output, REPORT_FILE, &part, 1);
    free(text);
    return status == SGP_OK ? 0 : EXIT_FAILED;
}

int report_simulation_write(const char *directory, const char *output, bool *drawn) {
    report_t report = {0};
    report_plot_t plots[REPORT_PLOTS] = {0};
    *drawn = gnuplot_found();
    int status = read_simulation(directory, &report);
    if (!status && *drawn) status = report_plots_draw(&report, plots);
    if (!status)
        status = write_page(output, report_simulation_html(&report, *drawn ? plots : NULL));
    report_plots_release(plots);
    report_release(&report);
    return status;
}
