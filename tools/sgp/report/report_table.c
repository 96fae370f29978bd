/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_table.h"

#include "report/report_facts.h"
#include "report/report_number.h"
#include "report/report_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const report_column_t columns[] = {
    {.title = "accuracy (mean)", .key = "test_accuracy.mean", .type = CELL_FIXED, .decimals = 4},
    {.title = "worst node", .key = "test_accuracy.min", .type = CELL_FIXED, .decimals = 4},
    {.title = "best node", .key = "test_accuracy.max", .type = CELL_FIXED, .decimals = 4},
    {.title = "averaged model", .key = "average_model_accuracy", .type = CELL_FIXED, .decimals = 4},
    {.title = "train seconds", .key = "seconds", .type = CELL_FIXED, .decimals = 1},
    {.title = "samples/s", .key = "samples_per_second", .type = CELL_COUNT},
    {.title = "step ms", .key = "step_ms.mean", .type = CELL_FIXED, .decimals = 2},
    {.title = "waiting ms", .key = "wait_ms", .type = CELL_FIXED, .decimals = 2},
    {.title = "consensus distance", .key = "consensus_distance", .type = CELL_SCIENTIFIC},
    {.title = "messages sent", .key = "messages.sent", .type = CELL_COUNT},
};

enum { COLUMNS = sizeof columns / sizeof columns[0] };

static const char *format_number(const report_column_t *column, double value,
                                 char text[NUMBER_TEXT]) {
    switch (column->type) {
    case CELL_PERCENT:
        return number_percent(value, text);
    case CELL_DURATION:
        return number_duration(value, text);
    case CELL_SHORT:
        return number_short(value, text);
    case CELL_SCIENTIFIC:
        snprintf(text, NUMBER_TEXT, value == 0 ? "0" : "%.1e", value);
        return text;
    case CELL_FIXED:
        snprintf(text, NUMBER_TEXT, "%.*f", column->decimals, value);
        return text;
    default:
        return number_count(value, text);
    }
}

char *report_cell(const report_run_t *run, const report_column_t *column) {
    const json_t *value = report_member(run, column->key);
    char text[NUMBER_TEXT];
    if (json_is_string(value)) return text_clean(json_string_value(value));
    if (!json_is_number(value)) return strdup(NUMBER_NONE);
    return strdup(format_number(column, json_number_value(value), text));
}

/* " after 412 of 1407 steps" */
static void add_steps(const report_run_t *run, char *text, size_t room) {
    const json_t *derived = json_object_get(run->config, "derived");
    const json_t *planned = json_object_get(derived, "steps");
    double steps = report_number(run, "steps");
    if (!(steps >= 0)) return;
    if (json_is_integer(planned))
        snprintf(text, room, " after %.0f of %" JSON_INTEGER_FORMAT " steps", steps,
                 json_integer_value(planned));
    else snprintf(text, room, " after %.0f steps", steps);
}

const char *report_state(const report_run_t *run, char text[REPORT_STATE]) {
    double epochs = report_number(run, "epochs");
    *text = '\0';
    if (report_finished(run)) return text;
    int length = snprintf(text, REPORT_STATE, "%.30s", run->status);
    bool unfinished = strcmp(run->status, "unfinished") == 0;
    if (!unfinished) add_steps(run, text + length, REPORT_STATE - (size_t)length);
    else if (isfinite(epochs))
        snprintf(text + length, REPORT_STATE - (size_t)length, ": %d of %.0f epochs",
                 run->epochs_done, epochs);
    return text;
}

/* The labels say most of it, but not all. */
static void print_own(FILE *out, const report_t *report, const report_run_t *run) {
    char *own = report_facts_own(report, run, ", ");
    fputs(" | ", out);
    if (own) text_markdown(out, own);
    free(own);
}

static void markdown_row(FILE *out, const report_t *report, const report_run_t *run) {
    char state[REPORT_STATE];
    fputs("| ", out);
    text_markdown(out, run->label);
    if (*report_state(run, state)) {
        fputs(" (", out);
        text_markdown(out, state);
        fputc(')', out);
    }
    for (int i = 0; i < COLUMNS; i++) {
        char *cell = report_cell(run, &columns[i]);
        fputs(" | ", out);
        if (cell) text_markdown(out, cell);
        free(cell);
    }
    print_own(out, report, run);
    fputs(" | ", out);
    text_markdown(out, run->directory);
    fputs(" |\n", out);
}

static void markdown_head(FILE *out, const report_t *report) {
    char *shared = report_facts_shared(report, ", ");
    if (shared && *shared) {
        text_markdown(out, shared);
        fputs("\n\n", out);
    }
    free(shared);
    fputs("| run", out);
    for (int i = 0; i < COLUMNS; i++) fprintf(out, " | %s", columns[i].title);
    fputs(" | settings | directory |\n|---", out);
    for (int i = 0; i < COLUMNS; i++) fputs("|---:", out);
    fputs("|---|---|\n", out);
}

char *report_markdown(const report_t *report) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    markdown_head(out, report);
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
                      "finished", report_finished(run), "epochs_done", run->epochs_done);
        if (object) json_object_update(object, run->result);
        json_array_append_new(runs, object);
    }
    return json_pack("{s:o}", "runs", runs);
}
