/* SPDX-License-Identifier: Apache-2.0 */
#include "report_table.h"

#include "report_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING "\xe2\x80\x93" /* an en dash */

const report_column_t report_columns[] = {
    {.title = "algorithm", .key = "algorithm"},
    {.title = "model", .key = "model", .if_differs = true},
    {.title = "data", .key = "data", .if_differs = true},
    {.title = "epochs", .key = "epochs", .type = CELL_COUNT, .if_differs = true},
    {.title = "batch size", .key = "batch_size", .type = CELL_COUNT, .if_differs = true},
    {.title = "seed", .key = "seed", .type = CELL_COUNT, .if_differs = true},
    {.title = "graph", .key = "graph", .of_gossip = true},
    {.title = "peers", .key = "peers", .type = CELL_COUNT, .of_gossip = true},
    {.title = "overlap", .key = "overlap", .type = CELL_COUNT, .of_gossip = true},
    {.title = "nodes", .key = "nodes", .type = CELL_COUNT},
    {.title = "workers per node",
     .key = "workers_per_node",
     .type = CELL_COUNT,
     .if_differs = true},
    {.title = "accuracy (mean)", .key = "test_accuracy.mean", .type = CELL_FIXED, .decimals = 4},
    {.title = "worst node", .key = "test_accuracy.min", .type = CELL_FIXED, .decimals = 4},
    {.title = "best node", .key = "test_accuracy.max", .type = CELL_FIXED, .decimals = 4},
    {.title = "averaged model", .key = "average_model_accuracy", .type = CELL_FIXED, .decimals = 4},
    {.title = "consensus distance", .key = "consensus_distance", .type = CELL_SCIENTIFIC},
    {.title = "samples/s", .key = "samples_per_second", .type = CELL_FIXED},
    {.title = "step ms", .key = "step_ms.mean", .type = CELL_FIXED, .decimals = 2},
    {.title = "waiting ms", .key = "wait_ms", .type = CELL_FIXED, .decimals = 2},
    {.title = "train seconds", .key = "seconds", .type = CELL_FIXED, .decimals = 1},
    {.title = "messages sent", .key = "messages.sent", .type = CELL_COUNT},
};

const int report_column_count = sizeof report_columns / sizeof report_columns[0];

bool report_column_shown(const report_t *report, const report_column_t *column) {
    return !column->if_differs || report_differs(report, column->key);
}

/* Groups of three digits, with narrow spaces. */
static void print_count(FILE *out, double count) {
    char digits[32];
    if (fabs(count) >= 1e18) {
        fprintf(out, "%.3g", count);
        return;
    }
    int length = snprintf(digits, sizeof digits, "%.0f", count);
    for (int i = 0; i < length; i++) {
        bool group = i > 0 && length > 4 && (length - i) % 3 == 0 && digits[i - 1] != '-';
        fprintf(out, "%s%c", group ? "\xe2\x80\xaf" : "", digits[i]);
    }
}

static void print_number(FILE *out, const report_column_t *column, double value) {
    if (column->type == CELL_SCIENTIFIC) fprintf(out, value == 0 ? "0" : "%.1e", value);
    else if (column->type == CELL_COUNT || column->decimals == 0) print_count(out, value);
    else fprintf(out, "%.*f", column->decimals, value);
}

char *report_cell(const report_run_t *run, const report_column_t *column) {
    const json_t *value = report_member(run, column->key);
    const char *algorithm = json_string_value(report_member(run, "algorithm"));
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    if (column->of_gossip && algorithm && strcmp(algorithm, "allreduce") == 0) value = NULL;
    if (json_is_string(value)) {
        char *clean = text_clean(json_string_value(value));
        fputs(clean ? clean : NOTHING, out);
        free(clean);
    } else if (json_is_number(value)) print_number(out, column, json_number_value(value));
    else fputs(NOTHING, out);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

void report_state(const report_run_t *run, char text[80]) {
    double epochs = report_number(run, "epochs");
    *text = '\0';
    if (run->finished) return;
    if (isfinite(epochs))
        snprintf(text, 80, "unfinished: %d of %.0f epochs", run->epochs_done, epochs);
    else snprintf(text, 80, "unfinished");
}

static void markdown_row(FILE *out, const report_t *report, const report_run_t *run) {
    char state[80];
    report_state(run, state);
    fputs("| ", out);
    text_markdown(out, run->label);
    if (*state) fprintf(out, " (%s)", state);
    for (int i = 0; i < report_column_count; i++) {
        if (!report_column_shown(report, &report_columns[i])) continue;
        char *cell = report_cell(run, &report_columns[i]);
        fputs(" | ", out);
        if (cell) text_markdown(out, cell);
        free(cell);
    }
    fputs(" | ", out);
    text_markdown(out, run->directory);
    fputs(" |\n", out);
}

char *report_markdown(const report_t *report) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    fputs("| run", out);
    for (int i = 0; i < report_column_count; i++)
        if (report_column_shown(report, &report_columns[i]))
            fprintf(out, " | %s", report_columns[i].title);
    fputs(" | directory |\n|---", out);
    for (int i = 0; i < report_column_count; i++)
        if (report_column_shown(report, &report_columns[i]))
            fputs(report_columns[i].type == CELL_TEXT ? "|---" : "|---:", out);
    fputs("|---|\n", out);
    for (int i = 0; i < report->count; i++) markdown_row(out, report, &report->runs[i]);
    fputs("\nAccuracies are fractions; worst, best and mean are over the nodes, and times are of a "
          "step.\n",
          out);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

json_t *report_json(const report_t *report) {
    json_t *runs = json_array();
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[i];
        json_t *object =
            json_pack("{s:s, s:s, s:b, s:i}", "directory", run->directory, "label", run->label,
                      "finished", run->finished, "epochs_done", run->epochs_done);
        if (object) json_object_update(object, run->result);
        json_array_append_new(runs, object);
    }
    return json_pack("{s:o}", "runs", runs);
}
