/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp flight`: who waited for whom when a run failed or hung. */
#include "command.h"
#include "cli/message.h"
#include "cli/options.h"
#include "flight/flight_view.h"

#include <stdio.h>

typedef struct flight_settings {
    const char *trace;
    bool json;
    bool help;
} flight_settings_t;

#define AT(member) offsetof(flight_settings_t, member)

static const option_t options[] = {
    {.name = "trace",
     .argument = "FILE",
     .type = OPTION_STRING,
     .offset = AT(trace),
     .shown = "",
     .wanted = "the name of a file",
     .help = "also write all events, for ui.perfetto.dev and chrome://tracing"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print one JSON object instead"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t flight_table = {
    .command = "flight",
    .any_bytes = true,
    .synopsis = "sgp flight DIR [OPTIONS]",
    .about =
        "Says who waited for whom, and why, when a run failed or hung: from DIR/flight-*.json, "
        "which\n"
        "the nodes write when a run fails, and on SIGQUIT (Ctrl-\\), after which the run goes on.\n"
        "DIR is the run's directory, or the one that SGP_FLIGHT names for programs of one's own.",
    .manual = "Each wait is followed to its end: a node that computes, that has no file (it was "
              "stopped or killed), or a circle of "
              "nodes that wait for each other.",
    .parts = {{.rows = options}},
    .operands = true,
};

static int show(const flight_settings_t *settings, const flight_files_t *files) {
    flight_looks_t looks = {0};
    if (!flight_looks_take(files, &looks)) {
        message_error("flight: out of memory");
        return EXIT_FAILED;
    }
    int status =
        settings->json ? flight_json_print(files, &looks) : flight_words_print(files, &looks);
    if (!status && settings->trace) status = flight_trace_write(files, settings->trace);
    flight_looks_release(&looks);
    return status;
}

static int read_and_show(const flight_settings_t *settings, const char *directory) {
    flight_files_t files;
    int status = flight_files_read(directory, &files);
    if (!status && !flight_clocks_align(&files)) {
        message_error("flight: out of memory");
        status = EXIT_FAILED;
    }
    if (!status) {
        message_workers(files.sources[0].node.workers);
        status = show(settings, &files);
    }
    flight_files_release(&files);
    return status;
}

int command_flight(int argc, char **argv) {
    flight_settings_t settings = {0};
    const char *directory = NULL;
    int first = 0;
    while (first < argc) { /* options may follow the directory */
        int next;
        if (!options_parse(&flight_table, argc - first, argv + first, &settings, &next))
            return EXIT_MISTAKE;
        first += next;
        if (first >= argc) break;
        if (directory) {
            message_error("flight: %s: one directory at a time; %s", argv[first],
                          flight_table.synopsis);
            return EXIT_MISTAKE;
        }
        directory = argv[first];
    }
    if (settings.help) {
        options_help(&flight_table);
        return 0;
    }
    message_log_library(NULL);
    if (directory) return read_and_show(&settings, directory);
    message_error("flight: the run's directory is missing; %s", flight_table.synopsis);
    return EXIT_MISTAKE;
}
