/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp status`: what a run does, once. */
#include "command.h"
#include "cli/message.h"
#include "cli/output.h"
#include "watch/watch.h"
#include "watch/watch_text.h"

#include "files/json.h"

#include <string.h>
#include <unistd.h>

typedef struct status_settings {
    const char *token_file;
    bool json, help;
} status_settings_t;

#define AT(member) offsetof(status_settings_t, member)

static const option_t options[] = {
    WATCH_TOKEN_ROW(AT(token_file)),
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print one line of JSON, as /status.json of the status server has it"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t status_table = {
    .command = "status",
    .any_bytes = true,
    .synopsis = "sgp status DIR|[HOST:]PORT [--json]",
    .about =
        "Prints what a run does: its state, step, loss, accuracy and speed, and who of its nodes "
        "is\n"
        "slow, silent or gone. DIR is a run's directory, HOST:PORT the status server of a node\n"
        "(--status). The exit status is 0 for a run that runs or has finished, 1 for one that has\n"
        "ended otherwise, and 2 if nobody can tell.",
    .manual = "In a directory the numbers of a running run are those of its last lines "
              "(*--metrics-seconds*), and *killed* is a run without a process and without "
              "summary.json.",
    .parts = {{.rows = options}},
    .operands = true,
};

static bool print_text(const json_t *json, bool *good) {
    watch_view_t view;
    if (!watch_view_fill(&view, json)) return false;
    watch_style_t style = watch_style_of(message_output_width(), 0, isatty(STDOUT_FILENO));
    watch_text_draw(stdout, &view, &style, "\n");
    *good = watch_view_is_good(&view);
    watch_view_release(&view);
    return true;
}

static int print_status(const char *what, const status_settings_t *settings) {
    char problem[WATCH_PROBLEM];
    json_t *json;
    bool good = false;
    watch_source_t *source = watch_open(what, settings->token_file);
    if (!source) return EXIT_MISTAKE;
    watch_answer_t answer = watch_read(source, NULL, 0, &json, problem);
    watch_close(source);
    if (answer != WATCH_READ) {
        message_error("%s", problem);
        return EXIT_MISTAKE;
    }
    const char *state = json_string_value(json_object_get(json, "state"));
    bool printed = true;
    if (settings->json) {
        files_json_begin();
        printed = output_json(json, FILES_JSON_FLAGS);
        good = state && (!strcmp(state, "running") || !strcmp(state, "finished"));
    } else printed = print_text(json, &good);
    json_decref(json);
    if (!printed) message_error("%s: out of memory", what);
    return printed && good ? 0 : EXIT_FAILED;
}

int command_status(int argc, char **argv) {
    status_settings_t settings = {0};
    const char *what;
    if (!options_parse_one(&status_table, argc, argv, &settings, &what)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&status_table);
        return 0;
    }
    if (!what) {
        message_error("status: the run is missing; %s", status_table.synopsis);
        return EXIT_MISTAKE;
    }
    return print_status(what, &settings);
}
