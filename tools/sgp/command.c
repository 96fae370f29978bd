/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <stddef.h>

static const command_t commands[] = {
#define COMMAND_ENTRY(name, options, help) {#name, command_##name, options, help},
    COMMANDS(COMMAND_ENTRY)
#undef COMMAND_ENTRY
};

const command_t *command_list(int *count) {
    *count = sizeof commands / sizeof commands[0];
    return commands;
}
