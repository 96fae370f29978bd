/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_table.h"

#include "report/report_number.h"
#include "cli/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
