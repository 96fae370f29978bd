/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp help`. */
#include "command.h"

#include <stdio.h>

int command_help(int argc, char **argv) {
    int count;
    const command_t *commands = command_list(&count);
    (void)argc;
    (void)argv;
    puts("usage: sgp COMMAND [OPTIONS]\n");
    for (int i = 0; i < count; i++) printf("  %-9s %s\n", commands[i].name, commands[i].help);
    puts("\nsgp COMMAND --help lists the options of a command.");
    return 0;
}
