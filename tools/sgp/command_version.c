/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp version`. */
#include "command.h"

#include <stdio.h>

int command_version(int argc, char **argv) {
    (void)argc;
    (void)argv;
    puts("sgp " SGP_VERSION);
    return 0;
}
