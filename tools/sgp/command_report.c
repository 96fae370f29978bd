/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp report`: a page about runs, or about a simulation. */
#include "command.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output.h"
#include "report/report.h"
#include "report/report_simulation.h"
#include "report/run_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct report_settings {
    const char *output;
    bool help;
} report_settings_t;

#define AT(member) offsetof(report_settings_t, member)

static const option_t options[] = {
    {.name = "output",
     .argument = "DIR",
     .type = OPTION_STRING,
     .offset = AT(output),
     .shown = "DIR; of several, runs/comparison-TIME",
     .wanted = "a directory",
     .help = "the directory of the report, made if it is missing"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t report_table = {
    .command = "report",
    .any_bytes = true,
    .synopsis = "sgp report DIR... [--output DIR]",
    .about =
        "Writes report.html, a page with tables and plots about runs, finished or not, that loads\n"
        "no other file. For several runs it also writes comparison.md and comparison.json. Each\n"
        "DIR is a run, or contains runs, as sgp compare makes it. For the DIR of a simulation it\n"
        "writes again the page that sgp simulate wrote.",
    .manual = "They may stand before or behind the directories.",
    .parts = {{.rows = options}},
    .operands = true,
};

/* Options may follow directories. directories: (argc). Returns their number, or -1 after a line
 * about a mistake. */
static int parse(int argc, char **argv, report_settings_t *settings, const char **directories) {
    int count = 0, at = 0; /* argv[at] counts as the command's name */
    while (at + 1 < argc) {
        int first;
        if (!options_parse(&report_table, argc - at, argv + at, settings, &first)) return -1;
        at += first;
        bool all = strcmp(argv[at - 1], "--") == 0 && first > 1;
        do {
            if (at < argc) directories[count++] = argv[at];
        } while (all && ++at < argc);
    }
    return count;
}

static int write_simulation(const char *directory, const char *output) {
    bool drawn;
    if (!output) output = directory;
    if (strcmp(output, directory) != 0 && !output_prepare(output, OUTPUT_ROOM)) return EXIT_MISTAKE;
    int status = report_simulation_write(directory, output, &drawn);
    if (!status && !drawn) message_error("%s/" REPORT_FILE REPORT_NOT_DRAWN, output);
    if (!status) printf("%s/" REPORT_FILE "\n", output);
    return status;
}

/* NULL: none of the directories holds a simulation. */
static const char *find_simulation(const char *const *directories, int count) {
    for (int i = 0; i < count; i++)
        if (report_simulation_is(directories[i])) return directories[i];
    return NULL;
}

/* output: NULL for the only directory that was named, else a new one. */
static int write_runs(const char *const *named, int count, const char *output) {
    char name[OUTPUT_PATH];
    run_list_t runs = {0};
    int status = 0;
    for (int i = 0; i < count && !status; i++) status = run_list_add(&runs, named[i]);
    if (!output && count == 1) output = named[0];
    if (!output) {
        report_name(name);
        output = name;
    }
    if (!status) status = report_write((const char *const *)runs.directories, runs.count, output);
    if (!status) printf("%s/" REPORT_FILE "\n", output);
    run_list_release(&runs);
    return status;
}

static int write_report(const char *const *directories, int count, const char *output) {
    if (count == 0) {
        message_error("report: the runs' directories are missing; %s", report_table.synopsis);
        return EXIT_MISTAKE;
    }
    const char *simulation = find_simulation(directories, count);
    if (simulation && count == 1) return write_simulation(simulation, output);
    if (simulation) {
        message_error("%s: a simulation; a report is about one simulation, or about runs",
                      simulation);
        return EXIT_MISTAKE;
    }
    return write_runs(directories, count, output);
}

int command_report(int argc, char **argv) {
    report_settings_t settings = {0};
    const char **directories = calloc((size_t)argc, sizeof *directories);
    if (!directories) {
        message_error("out of memory for %d arguments", argc);
        return EXIT_FAILED;
    }
    message_log_library(NULL);
    int count = parse(argc, argv, &settings, directories), status = EXIT_MISTAKE;
    if (count >= 0 && settings.help) {
        options_help(&report_table);
        status = 0;
    } else if (count >= 0) status = write_report(directories, count, settings.output);
    free(directories);
    return status;
}
