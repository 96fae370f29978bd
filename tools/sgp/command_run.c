/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"
#include "cli/joining.h"
#include "cli/watching.h"
#include "launch/launch.h"
#include "cli/message.h"
#include "cli/options.h"

#include "base/constants.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct run_settings {
    int nodes; /* 0: not given */
    const char *transport;
    joining_t joining;
    watching_t watching;
    const char *on_loss;
    bool help;
} run_settings_t;

static const option_t first_options[] = {
    {.name = "nodes",
     .argument = "N",
     .type = OPTION_INT,
     .offset = offsetof(run_settings_t, nodes),
     .min = 1,
     .max = SGP_MOST_PROCESSES,
     .shown = "4",
     .help =
         "start N copies of the program on this machine; with --join: nodes of the whole group"},
    {.name = "transport",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = offsetof(run_settings_t, transport),
     .choices = "auto, shm, tcp",
     .shown = "SGP_TRANSPORT, else auto",
     .help = "how messages travel; auto: shm within a machine, tcp between machines"},
    {0},
};

static const option_t last_options[] = {
    {.name = "on-loss",
     .argument = "ACTION",
     .type = OPTION_CHOICE,
     .offset = offsetof(run_settings_t, on_loss),
     .choices = "continue, stop",
     .shown = "stop",
     .help = "when a process is killed or fails: the others are left alone, or all are ended",
     .more = "*continue* is for programs whose groups are elastic. Each process that is gone is "
             "named; the exit status is 0 if one of them ended with 0. Ctrl-C still ends all."},
    {.name = "help",
     .type = OPTION_FLAG,
     .offset = offsetof(run_settings_t, help),
     .help = "print this text and end"},
    {0},
};

const option_table_t run_table = {
    .command = "run",
    .synopsis = "sgp run [OPTIONS] -- PROGRAM [ARGUMENTS]",
    .about = "Starts a program that uses libsgp on several nodes; there sgp_group_join needs no "
             "options.",
    .parts = {{.rows = first_options},
              JOINING_PART(offsetof(run_settings_t, joining), JOINING_MANUAL),
              WATCHING_PART(offsetof(run_settings_t, watching),
                            "*--status* and what belongs to it, as for *sgp train*."),
              {.rows = last_options}},
    .manual = "With --join the program is started once, as one node.",
    .operands = true,
};

/* With --join this process becomes the program, as one node of the group. */
static int become_program(char **argv) {
    setenv("OMP_NUM_THREADS", "1", 0);
    execvp(argv[0], argv);
    message_error("%s: cannot be started: %s", argv[0], strerror(errno));
    return EXIT_MISTAKE;
}

static int start(const run_settings_t *settings, char **argv) {
    enum { USUAL_NODES = 4 };
    const char *transport = settings->transport ? settings->transport : getenv("SGP_TRANSPORT");
    bool joins = settings->joining.join != NULL;
    if (!transport || !*transport) transport = "auto";
    if (!joining_check_join(&settings->joining, settings->nodes) ||
        !joining_check(&settings->joining, transport, joins))
        return EXIT_MISTAKE;
    if (joins && settings->on_loss) {
        message_error("--on-loss: with --join the program is started once, and sgp ends no other");
        return EXIT_MISTAKE;
    }
    if (!watching_check(&settings->watching)) return EXIT_MISTAKE;
    joining_export(&settings->joining, transport, settings->nodes);
    watching_export(&settings->watching, argv[0]);
    if (joins) return become_program(argv);
    if (strcmp(transport, "tcp") == 0) setenv("SGP_INTERFACE", "127.0.0.1", 0);
    int nodes = settings->nodes ? settings->nodes : USUAL_NODES;
    bool goes_on = settings->on_loss && strcmp(settings->on_loss, "continue") == 0;
    const char *records = getenv("SGP_FLIGHT");
    return launch(&(launch_options_t){.nodes = nodes,
                                      .file = argv[0],
                                      .argv = argv,
                                      .goes_on = goes_on,
                                      .apart = goes_on,
                                      .records = records && *records ? records : NULL});
}

int command_run(int argc, char **argv) {
    run_settings_t settings = {0};
    int first;
    options_init(&run_table, &settings);
    if (!options_parse(&run_table, argc, argv, &settings, &first)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&run_table);
        return 0;
    }
    if (first == argc) {
        message_error("run: the program to start is missing; %s", run_table.synopsis);
        return EXIT_MISTAKE;
    }
    return start(&settings, argv + first);
}
