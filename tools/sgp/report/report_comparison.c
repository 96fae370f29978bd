/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_comparison.h"

#include "report/report_facts.h"
#include "report/report_table.h"
#include "cli/text.h"

#include <stdio.h>
#include <stdlib.h>

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

/* Labels name only some of the settings. */
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
    fputs("\nAccuracies are fractions. Worst, best and mean are over the nodes; step and waiting "
          "times "
          "are means over steps.\n",
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
