/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"
#include "message.h"
#include "options.h"

#include "train/json.h"

#include <stdio.h>
#include <string.h>

/* One column: a number of summary.json, or its text where it is one. */
typedef struct column {
    const char *title[2]; /* in two lines */
    const char *key;      /* "test_accuracy.mean": a member of a member */
    int width;
    int decimals;
} column_t;

static const column_t columns[] = {
    {{"", "algorithm"}, "algorithm", 9, 0},
    {{"", "nodes"}, "nodes", 5, 0},
    {{"accuracy", "(mean)"}, "test_accuracy.mean", 8, 4},
    {{"worst", "node"}, "test_accuracy.min", 6, 4},
    {{"best", "node"}, "test_accuracy.max", 6, 4},
    {{"averaged", "model"}, "average_model_accuracy", 8, 4},
    {{"", "samples/s"}, "samples_per_second", 9, 0},
    {{"step", "ms"}, "step_ms.mean", 7, 2},
    {{"waiting", "ms"}, "wait_ms", 7, 2},
    {{"train", "seconds"}, "seconds", 7, 1},
};

enum { COLUMNS = sizeof columns / sizeof columns[0] };

static const json_t *member(const json_t *object, const char *key) {
    char name[32];
    const char *dot = strchr(key, '.');
    if (!dot) return json_object_get(object, key);
    snprintf(name, sizeof name, "%.*s", (int)(dot - key), key);
    return member(json_object_get(object, name), dot + 1);
}

static void print_titles(void) {
    for (int line = 0; line < 2; line++) {
        for (int i = 0; i < COLUMNS; i++)
            printf(i ? "  %*s" : "%-*s", columns[i].width, columns[i].title[line]);
        puts(line ? "  directory" : "");
    }
}

static void print_row(const json_t *summary, const char *directory) {
    for (int i = 0; i < COLUMNS; i++) {
        const column_t *column = &columns[i];
        const json_t *value = member(summary, column->key);
        if (i) printf("  ");
        if (json_is_string(value)) printf("%-*s", column->width, json_string_value(value));
        else if (json_is_number(value))
            printf("%*.*f", column->width, column->decimals, json_number_value(value));
        else printf("%*s", column->width, "-");
    }
    printf("  %s\n", directory);
}

/* NULL after a line about what is wrong. */
static json_t *load(const char *directory) {
    char path[4096];
    json_error_t error;
    snprintf(path, sizeof path, "%s/summary.json", directory);
    json_t *summary = train_json_load(path, 0, &error);
    if (!summary) message_error("%s: %s", path, error.text);
    else if (!json_is_string(json_object_get(summary, "algorithm"))) {
        message_error("%s: not the summary of a run (no \"algorithm\")", path);
        json_decref(summary);
        summary = NULL;
    }
    return summary;
}

static const option_t options[] = {
    {.name = "help", .type = OPTION_FLAG, .value = 1, .help = "print this text and end"},
};

static const option_table_t table = {
    .command = "table",
    .synopsis = "sgp table DIR...",
    .about = "Prints one line for each finished run: accuracies, speed and where it is.",
    .options = options,
    .count = sizeof options / sizeof options[0],
    .operands = true,
};

int command_table(int argc, char **argv) {
    int help = 0, first, status = 0;
    if (!options_parse(&table, argc, argv, &help, &first)) return EXIT_MISTAKE;
    if (help) {
        options_help(&table, &help);
        return 0;
    }
    if (first == argc) {
        message_error("table: the runs' directories are missing; %s", table.synopsis);
        return EXIT_MISTAKE;
    }
    bool titled = false;
    for (int i = first; i < argc; i++) {
        json_t *summary = load(argv[i]);
        if (!summary) {
            status = EXIT_MISTAKE;
            continue;
        }
        if (!titled) print_titles();
        titled = true;
        print_row(summary, argv[i]);
        json_decref(summary);
    }
    return status;
}
