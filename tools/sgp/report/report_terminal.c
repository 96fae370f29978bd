/* SPDX-License-Identifier: Apache-2.0 */
/* A narrow terminal omits optional columns and prints the directories below the table. */
#include "report/report_terminal.h"

#include "cli/message.h"
#include "report/report_facts.h"
#include "report/report_losses.h"
#include "report/report_table.h"
#include "cli/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2, CELL = 32 };

typedef struct column {
    const char *title[2]; /* in two lines */
    const char *key;      /* report_member's; NULL: report_accuracy */
    int decimals;
    int optional; /* 0: always shown; a narrow terminal omits the others, the greatest first */
} column_t;

static const column_t columns[] = {
    {{"", "accuracy"}, NULL, 4, 0},
    {{"worst", "node"}, "test_accuracy.min", 4, 1},
    {{"best", "node"}, "test_accuracy.max", 4, 2},
    {{"train", "s"}, "seconds", 1, 0},
    {{"samples", "per s"}, "samples_per_second", 0, 0},
    {{"step", "ms"}, "step_ms.mean", 2, 0},
    {{"wait", "ms"}, "wait_ms", 2, 0},
};

enum { COLUMNS = sizeof columns / sizeof columns[0], MOST_OPTIONAL = 2 };

typedef struct layout {
    int label;           /* characters */
    int widths[COLUMNS]; /* 0: left out */
    bool beside;         /* directories are at the ends of the lines; else below the table */
} layout_t;

/* A missing number is a dash. */
static void format_cell(const report_run_t *run, const column_t *column, char text[CELL]) {
    double value = column->key ? report_number(run, column->key) : report_accuracy(run);
    if (isfinite(value)) snprintf(text, CELL, "%.*f", column->decimals, value);
    else strcpy(text, "-");
}

/* ---- layout ---- */

static int width_of(const report_t *report, const column_t *column) {
    char text[CELL];
    size_t width = strlen(column->title[0]);
    if (strlen(column->title[1]) > width) width = strlen(column->title[1]);
    for (int i = 0; i < report->count; i++) {
        format_cell(&report->runs[i], column, text);
        if (strlen(text) > width) width = strlen(text);
    }
    return (int)width;
}

/* The longest label or directory, in characters. */
static int longest(const report_t *report, bool directories) {
    int most = (int)strlen(directories ? "directory" : "run");
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[i];
        int length = text_length(directories ? run->directory : run->label);
        if (length > most) most = length;
    }
    return most;
}

static int line_width(const layout_t *layout) {
    int width = layout->label;
    for (int i = 0; i < COLUMNS; i++)
        if (layout->widths[i]) width += GAP + layout->widths[i];
    return width;
}

static layout_t lay_out(const report_t *report) {
    layout_t layout = {.label = longest(report, false)};
    int room = message_output_width();
    for (int i = 0; i < COLUMNS; i++) layout.widths[i] = width_of(report, &columns[i]);
    for (int least = MOST_OPTIONAL; least > 0 && line_width(&layout) > room; least--)
        for (int i = 0; i < COLUMNS; i++)
            if (columns[i].optional == least) layout.widths[i] = 0;
    layout.beside = line_width(&layout) + GAP + longest(report, true) <= room;
    return layout;
}

/* ---- printing ---- */

static void print_titles(const layout_t *layout) {
    for (int line = 0; line < 2; line++) {
        printf("%-*s", layout->label, line ? "run" : "");
        for (int i = 0; i < COLUMNS; i++)
            if (layout->widths[i])
                printf("%*s%*s", GAP, "", layout->widths[i], columns[i].title[line]);
        puts(line && layout->beside ? "  directory" : "");
    }
}

static void print_label(const report_run_t *run, const layout_t *layout) {
    printf("%s%*s", run->label, layout->label - text_length(run->label), "");
}

static void print_row(const report_run_t *run, const layout_t *layout) {
    char text[CELL];
    print_label(run, layout);
    for (int i = 0; i < COLUMNS; i++) {
        if (!layout->widths[i]) continue;
        format_cell(run, &columns[i], text);
        printf("%*s%*s", GAP, "", layout->widths[i], text);
    }
    printf("%s%s\n", layout->beside ? "  " : "", layout->beside ? run->directory : "");
}

static void print_directories(const report_t *report, const layout_t *layout) {
    putchar('\n');
    for (int i = 0; i < report->count; i++) {
        print_label(&report->runs[i], layout);
        printf("  %s\n", report->runs[i].directory);
    }
}

static void print_shared(const report_t *report) {
    char *shared = report_facts_shared(report, ", ");
    if (shared && *shared) {
        text_wrap(stdout, shared, 0, message_output_width());
        putchar('\n');
    }
    free(shared);
}

static void print_line(const char *label, const char *text, const char *more, int *count) {
    char *line = NULL;
    if (asprintf(&line, "%s: %s%s%s", label, text, *more ? ": " : "", more) < 0) return;
    if ((*count)++ == 0) putchar('\n');
    text_wrap(stdout, line, 2, message_output_width());
    free(line);
}

/* One line below the table for each run that did not finish, and for each that lost nodes. */
static void print_endings(const report_t *report) {
    int count = 0;
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[i];
        char state[REPORT_STATE], *losses = report_losses(run);
        if (*report_state(run, state))
            print_line(run->label, state, run->reason ? run->reason : "", &count);
        if (losses && *losses) print_line(run->label, losses, "", &count);
        free(losses);
    }
}

void report_terminal_print(const report_t *report) {
    layout_t layout = lay_out(report);
    print_shared(report);
    print_titles(&layout);
    for (int i = 0; i < report->count; i++) print_row(&report->runs[i], &layout);
    if (!layout.beside) print_directories(report, &layout);
    print_endings(report);
}
