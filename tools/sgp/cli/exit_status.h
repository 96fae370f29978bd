/* SPDX-License-Identifier: Apache-2.0 */
/* The program's exit statuses, for every file that ends a command. */
#ifndef SGP_CLI_EXIT_STATUS_H
#define SGP_CLI_EXIT_STATUS_H

#include <sgp/status.h>

enum {
    EXIT_FAILED = 1,     /* something went wrong while running */
    EXIT_MISTAKE = 2,    /* an option, a file or a setting is wrong: nothing was started */
    EXIT_INTERRUPT = 130 /* Ctrl-C; another signal ends with 128 + its number */
};

/* The exit status for a status of the library. */
int exit_status_of(sgp_status_t status);

#endif
