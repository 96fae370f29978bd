/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp help`. */
#include "command.h"

#include <stdio.h>
#include <string.h>

/* The sections of docs/sgp.1 that describe options: scripts/make-manual puts them there. */
static int print_manual(const command_t *commands, int count) {
    for (int i = 0; i < count; i++)
        for (const option_table_t *table = commands[i].options; table; table = table->next)
            options_manual(table, stdout);
    return 0;
}

int command_help(int argc, char **argv) {
    int count;
    const command_t *commands = command_list(&count);
    if (argc == 2 && strcmp(argv[1], "--man") == 0) return print_manual(commands, count);
    puts("usage: sgp COMMAND [OPTIONS]\n");
    for (int i = 0; i < count; i++) printf("  %-9s %s\n", commands[i].name, commands[i].help);
    puts("\nsgp COMMAND --help lists the options of a command.");
    return 0;
}
