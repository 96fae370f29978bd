/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp table`: one line for each run. */
#include "command.h"
#include "cli/message.h"
#include "cli/options.h"
#include "report/report.h"
#include "report/run_list.h"

static const option_t options[] = {
    {.name = "help", .type = OPTION_FLAG, .help = "print this text and end"},
    {0},
};

const option_table_t table_table = {
    .command = "table",
    .any_bytes = true,
    .synopsis = "sgp table DIR...",
    .about =
        "Prints one line for each run: accuracies, speed and directory. Each DIR is a run, or\n"
        "contains runs, as sgp compare makes it.",
    .parts = {{.rows = options}},
    .operands = true,
};

static int print_runs(const char *const *directories, int count) {
    run_list_t runs = {0};
    int result = 0;
    for (int i = 0; i < count; i++) {
        int status = run_list_add(&runs, directories[i]);
        if (status) result = status;
    }
    if (runs.count > 0) {
        int status = report_print((const char *const *)runs.directories, runs.count);
        if (status) result = status;
    }
    run_list_release(&runs);
    return result;
}

int command_table(int argc, char **argv) {
    bool help = false;
    int first;
    if (!options_parse(&table_table, argc, argv, &help, &first)) return EXIT_MISTAKE;
    if (help) {
        options_help(&table_table);
        return 0;
    }
    if (first == argc) {
        message_error("table: the runs' directories are missing; %s", table_table.synopsis);
        return EXIT_MISTAKE;
    }
    return print_runs((const char *const *)argv + first, argc - first);
}
