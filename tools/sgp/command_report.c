/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include "command.h"
#include "report/gnuplot.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output.h"
#include "report/report_data.h"
#include "report/report_html.h"
#include "report/report_plot.h"
#include "report/report_simulation.h"
#include "report/report_table.h"
#include "cli/run_list.h"

#include "files/atomic_file.h"
#include "files/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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
     .help = "where the report goes, made if it is missing"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t report_table = {
    .command = "report",
    .any_bytes = true,
    .synopsis = "sgp report DIR... [--output DIR]",
    .about =
        "Writes a page with tables and plots about runs, finished or not: report.html, which\n"
        "needs nothing else. Of several runs also comparison.md and comparison.json. A directory\n"
        "is one of a run, or of runs, as sgp compare makes it. Of a simulation, the directory of\n"
        "one sgp simulate, the page that it has written itself.",
    .manual = "They may stand before or behind the directories.",
    .parts = {{.rows = options}},
    .operands = true,
};

void report_name(char path[OUTPUT_PATH]) {
    char when[32];
    time_t now = time(NULL);
    struct tm local;
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", localtime_r(&now, &local));
    snprintf(path, OUTPUT_PATH, "runs/comparison-%s", when);
    for (int i = 2; access(path, F_OK) == 0 && i < 1000; i++)
        snprintf(path, OUTPUT_PATH, "runs/comparison-%s-%d", when, i);
}

/* Takes text (NULL: out of memory). */
static int write_text(const char *output, const char *name, char *text) {
    if (!text) {
        message_error("%s/%s: out of memory", output, name);
        return EXIT_FAILED;
    }
    file_part_t part = {text, strlen(text)};
    sgp_status_t status = file_replace(output, name, &part, 1);
    free(text);
    return status == SGP_OK ? 0 : EXIT_FAILED;
}

static int write_page(const report_t *report, const char *output) {
    report_plot_t plots[REPORT_PLOTS];
    int status = report_plots_draw(report, plots);
    if (!status) status = write_text(output, REPORT_FILE, report_html(report, plots));
    report_plots_release(plots);
    return status;
}

static int write_tables(const report_t *report, const char *output) {
    int status = write_text(output, "comparison.md", report_markdown(report));
    if (status) return status;
    return files_json_write(output, "comparison.json", report_json(report)) == SGP_OK ? 0
                                                                                      : EXIT_FAILED;
}

int report_write(const char *const *directories, int count, const char *output) {
    report_t report = {0};
    if (!gnuplot_check()) return EXIT_MISTAKE;
    int status = report_read(directories, count, &report);
    if (!status && !output_prepare(output, OUTPUT_ROOM)) status = EXIT_MISTAKE;
    if (!status && (count > 1 || strcmp(output, directories[0]) != 0))
        status = write_tables(&report, output);
    if (!status) status = write_page(&report, output);
    report_release(&report);
    return status;
}

/* Options may stand behind directories. directories: (argc). Returns how many, -1 after a line about
 * a mistake. */
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

/* NULL: there is none among them. */
static const char *find_simulation(const char *const *directories, int count) {
    for (int i = 0; i < count; i++)
        if (report_simulation_is(directories[i])) return directories[i];
    return NULL;
}

/* Into `output`; NULL: into the one directory that was named, or a new one. */
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
