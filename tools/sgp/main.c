/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the subcommand and returns its exit status. */
#include "command.h"
#include "cli/crypto_memory.h"
#include "cli/message.h"
#include "cli/options.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static int refuse_unknown(const char *name) {
    const char *nearest = NULL;
    int best = INT_MAX, count;
    const command_t *commands = command_list(&count);
    for (int i = 0; i < count; i++)
        if (options_near(name, commands[i].name, &best)) nearest = commands[i].name;
    if (nearest) message_error("%s: unknown command; did you mean %s?", name, nearest);
    else message_error("%s: unknown command; sgp help lists them", name);
    return EXIT_MISTAKE;
}

int main(int argc, char **argv) {
    crypto_memory_hide();
    if (argc < 2) {
        message_error("a command is missing; sgp help lists them");
        return EXIT_MISTAKE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) name = "version";
    int count;
    const command_t *commands = command_list(&count);
    for (int i = 0; i < count; i++) {
        if (strcmp(name, commands[i].name) != 0) continue;
        int status = commands[i].run(argc - 1, argv + 1);
        if (fflush(stdout) == 0 || status) return status;
        message_error("standard output: cannot be written");
        return EXIT_FAILED;
    }
    return refuse_unknown(name);
}
