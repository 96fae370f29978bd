/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp compare`: trains the same model with several algorithms, one `sgp train` after another. */
#include "launch/run_sequence.h"
#include "cli/claim.h"
#include "command.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output.h"
#include "report/report.h"
#include "cli/train_settings.h"

#include "data/feed.h"
#include "mixing/algorithm_table.h"
#include "run/mixing_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 16 };

typedef struct compare_settings {
    const char *algorithms;
    const char *output;
    bool help;
} compare_settings_t;

#define AT(member) offsetof(compare_settings_t, member)

static const option_t options[] = {
    {.name = "algorithms",
     .argument = "NAMES",
     .type = OPTION_STRING,
     .offset = AT(algorithms),
     .initial = "sgp,allreduce",
     .wanted = "names of algorithms, such as sgp,allreduce",
     .help = "the algorithms to compare: values of --algorithm, with commas between them"},
    {.name = "output",
     .argument = "DIR",
     .type = OPTION_STRING,
     .offset = AT(output),
     .shown = "runs/comparison-TIME",
     .wanted = "a directory",
     .help = "the comparison's directory, created if missing; each run gets a directory in it"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t compare_table = {
    .command = "compare",
    .synopsis = "sgp compare [--algorithms NAMES] [--output DIR] [OPTIONS OF SGP TRAIN]",
    .about = "Trains the same model in the same way by several algorithms, one after the other,\n"
             "prints a table and writes a report. All other options are those of sgp train.",
    .manual = "All options of *sgp train* except --algorithm, --resume, --join, --json and "
              "--version, and the ones below. *--rounds* is for the algorithms that make several "
              "exchanges per step; the table has the rounds of each.",
    .parts = {{.rows = options}},
};

/* Options of `sgp train` that are refused here. */
static const struct {
    const char *name, *reason;
} refused[] = {
    {"--algorithm", "use --algorithms NAME,NAME"},
    {"--resume", "compare begins every run; sgp train --resume continues a run"},
    {"--join", "compare runs on this machine alone; sgp train --join joins other machines"},
    {"--json", "compare writes comparison.json"},
    {"--version", "sgp version prints it"},
};

typedef struct compare {
    compare_settings_t settings;
    char **own;  /* (own_count): arguments for this command, and */
    char **rest; /* (rest_count): for `sgp train` */
    int own_count, rest_count;
    char *names; /* settings.algorithms, cut into */
    const char *algorithms[MOST_RUNS];
    char *directories[MOST_RUNS];
    const char *rounds;    /* of --rounds; NULL: not given */
    bool makes[MOST_RUNS]; /* whether that algorithm makes several rounds */
    int count;
    bool quiet;
    const char
        *reported[MOST_RUNS]; /* (reported_count): directories of runs with a result or a failure */
    int reported_count;
} compare_t;

/* Whether the argument is that option, with a value ("--name=value") or without. */
static bool is_option(const char *argument, const char *name) {
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 &&
           (argument[length] == '\0' || argument[length] == '=');
}

static bool refuse(const char *argument) {
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (!is_option(argument, refused[i].name)) continue;
        message_error("%s: %s", refused[i].name, refused[i].reason);
        return true;
    }
    return false;
}

/* Takes --rounds, which some algorithms have, out of the arguments for all of them. Returns how many arguments it is. */
static int take_rounds(compare_t *compare, int left, char **argv) {
    if (!is_option(argv[0], "--rounds")) return 0;
    const char *value = strchr(argv[0], '=');
    if (!value && left < 2) return 0; /* sgp train says what is missing */
    compare->rounds = value ? value + 1 : argv[1];
    return value ? 1 : 2;
}

/* Returns false after an error line about a refused option. own and rest: (argc + 1). */
static bool divide(compare_t *compare, int argc, char **argv) {
    compare->own[compare->own_count++] = argv[0];
    for (int i = 1; i < argc; i++) {
        bool value = is_option(argv[i], "--algorithms") || is_option(argv[i], "--output");
        bool help = is_option(argv[i], "--help") || strcmp(argv[i], "-h") == 0;
        if (refuse(argv[i])) return false;
        int taken = take_rounds(compare, argc - i, argv + i);
        i += taken > 0 ? taken - 1 : 0;
        if (taken > 0) continue;
        if (!value && !help) {
            compare->rest[compare->rest_count++] = argv[i];
            continue;
        }
        compare->own[compare->own_count++] = argv[i];
        if (value && !strchr(argv[i], '=') && i + 1 < argc)
            compare->own[compare->own_count++] = argv[++i];
    }
    return true;
}

static bool add_algorithm(compare_t *compare, const char *name) {
    if (compare->count == MOST_RUNS) {
        message_error("--algorithms %s: %d at most", compare->settings.algorithms, MOST_RUNS);
        return false;
    }
    for (int i = 0; i < compare->count; i++) {
        if (strcmp(compare->algorithms[i], name) != 0) continue;
        message_error("--algorithms %s: %s is listed twice", compare->settings.algorithms, name);
        return false;
    }
    if (*name == '\0' || strchr(name, ':')) {
        message_error("--algorithms %s: must be names with commas between them, no schedules",
                      compare->settings.algorithms);
        return false;
    }
    compare->algorithms[compare->count++] = name;
    return true;
}

static bool name_runs(compare_t *compare, const char *output) {
    compare->names = strdup(compare->settings.algorithms);
    char *rest = compare->names;
    if (!rest) message_error("out of memory for the names of the runs");
    while (rest) {
        const char *name = strsep(&rest, ",");
        if (!add_algorithm(compare, name)) return false;
    }
    for (int i = 0; i < compare->count; i++) {
        if (asprintf(&compare->directories[i], "%s/%s", output, compare->algorithms[i]) >= 0)
            continue;
        compare->directories[i] = NULL;
        message_error("out of memory for %d runs", compare->count);
        return false;
    }
    return compare->names;
}

/* The arguments of one run, from the program's name to NULL; released with free. NULL after an
 * error line. */
static char **arguments(const compare_t *compare, int run) {
    char **argv = calloc((size_t)compare->rest_count + 9, sizeof *argv);
    int count = 0;
    if (!argv) {
        message_error("out of memory for %d arguments", compare->rest_count);
        return NULL;
    }
    argv[count++] = (char *)"sgp";
    argv[count++] = (char *)"train";
    argv[count++] = (char *)"--algorithm";
    argv[count++] = (char *)compare->algorithms[run];
    argv[count++] = (char *)"--output";
    argv[count++] = compare->directories[run];
    if (compare->makes[run]) {
        argv[count++] = (char *)"--rounds";
        argv[count++] = (char *)compare->rounds;
    }
    for (int i = 0; i < compare->rest_count; i++) argv[count++] = compare->rest[i];
    return argv;
}

/* *makes: whether the algorithm of a run can make several exchanges per step, with the other options. Returns false after an
 * error line. */
static bool makes_rounds(const compare_t *compare, int run, bool *makes) {
    settings_t settings;
    char **argv = arguments(compare, run);
    if (!argv) return false;
    settings_init(&settings);
    bool right = settings_parse(&settings, compare->rest_count + 5, argv + 1);
    free(argv);
    if (!right) return false;
    sgp_mixer_options_t mixer = train_mixer_options(&settings.run, 0);
    *makes = sgp_algorithm_info(mixer.algorithm)->rounds && mixer.overlap == 0;
    return true;
}

/* Gives the rounds to the algorithms that have them. Returns false after an error line. */
static bool give_rounds(compare_t *compare) {
    bool makes[MOST_RUNS] = {false}, any = false;
    if (!compare->rounds) return true;
    for (int i = 0; i < compare->count; i++) {
        if (!makes_rounds(compare, i, &makes[i])) return false;
        any |= makes[i];
    }
    memcpy(compare->makes, makes, sizeof makes);
    if (!any)
        message_error("--rounds %s: none of %s makes several exchanges per step; sgp and dpsgd do, "
                      "overlap 0",
                      compare->rounds, compare->settings.algorithms);
    return any;
}

/* The run's own checks. The data are the same for all runs, and are checked with the first. */
static bool check_run(compare_t *compare, int run) {
    settings_t settings;
    char path[TRAIN_PATH];
    int argc = compare->rest_count + (compare->makes[run] ? 8 : 6);
    char **argv = arguments(compare, run);
    if (!argv) return false;
    settings_init(&settings);
    bool right = settings_parse(&settings, argc - 1, argv + 1);
    right = right && train_check(&settings.run) == SGP_OK;
    right = right && claim_allows(&settings, compare->directories[run]);
    if (right && run == 0)
        right = feed_check(train_data_path(&settings.run, 0, path), settings.run.limit_samples) ==
                SGP_OK;
    compare->quiet = settings.quiet;
    free(argv);
    return right;
}

/* Checks all runs before the first one starts, which may take hours. */
static bool check(compare_t *compare, const char *output) {
    static const char *const places[] = {"SGP_RANK", "SGP_JOIN"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!getenv(places[i])) continue;
        message_error("compare: starts its nodes itself, so %s must not be set", places[i]);
        return false;
    }
    if (!report_check() || !name_runs(compare, output) || !give_rounds(compare)) return false;
    for (int i = 0; i < compare->count; i++)
        if (!check_run(compare, i)) return false;
    return output_prepare(output, OUTPUT_ROOM);
}

/* Returns the exit status. */
static int train_all(compare_t *compare) {
    sequence_run_t runs[MOST_RUNS];
    int status = EXIT_FAILED, ready = 0;
    for (; ready < compare->count; ready++) {
        char **argv = arguments(compare, ready);
        if (!argv) break;
        runs[ready] = (sequence_run_t){.name = compare->algorithms[ready],
                                       .directory = compare->directories[ready],
                                       .argv = argv};
    }
    if (ready == compare->count)
        status =
            run_sequence(runs, ready, compare->quiet, compare->reported, &compare->reported_count);
    for (int i = 0; i < ready; i++) free(runs[i].argv);
    return status;
}

static int run(compare_t *compare, const char *output) {
    if (!check(compare, output)) return EXIT_MISTAKE;
    int status = train_all(compare);
    if (compare->reported_count == 0) return status;
    if (!compare->quiet) {
        putchar('\n');
        report_print(compare->reported, compare->reported_count);
    }
    fflush(stdout);
    int written = report_write(compare->reported, compare->reported_count, output);
    if (!written && !compare->quiet) printf("\n%s/" REPORT_FILE "\n", output);
    return status ? status : written;
}

static int parse_and_run(compare_t *compare) {
    char name[OUTPUT_PATH];
    int first;
    compare_settings_t *settings = &compare->settings;
    options_init(&compare_table, settings);
    if (!options_parse(&compare_table, compare->own_count, compare->own, settings, &first))
        return EXIT_MISTAKE;
    if (settings->help) {
        options_help(&compare_table);
        return 0;
    }
    message_log_library(NULL);
    if (!settings->output) report_name(name);
    return run(compare, settings->output ? settings->output : name);
}

int command_compare(int argc, char **argv) {
    compare_t compare = {0};
    int status = EXIT_FAILED;
    compare.own = calloc((size_t)argc + 1, sizeof *compare.own);
    compare.rest = calloc((size_t)argc + 1, sizeof *compare.rest);
    if (!compare.own || !compare.rest) message_error("out of memory for %d arguments", argc);
    else status = divide(&compare, argc, argv) ? parse_and_run(&compare) : EXIT_MISTAKE;
    for (int i = 0; i < compare.count; i++) free(compare.directories[i]);
    free(compare.names);
    free(compare.own);
    free(compare.rest);
    return status;
}
