/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/self.h"

#include "cli/exit_status.h"
#include "cli/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int self_restart(char **argv) {
    setenv("OMP_NUM_THREADS", "1", 1);
    execv(SELF_FILE, argv - 1); /* the subcommand's name follows the program's */
    message_error("%s: %s", SELF_FILE, strerror(errno));
    return EXIT_FAILED;
}

int self_launch(launch_options_t options, const char *transport, const joining_t *joining,
                const char *const *added, int argc, char **argv) {
    int more = 0, count = 0;
    while (added[more]) more++;
    char **arguments = calloc((size_t)(argc + more) + 4, sizeof *arguments);
    if (!arguments) {
        message_error("out of memory for %d arguments", argc);
        return EXIT_FAILED;
    }
    arguments[count++] = (char *)"sgp";
    arguments[count++] = argv[0];
    for (int i = 0; i < more; i++) arguments[count++] = (char *)added[i];
    if (strcmp(transport, "tcp") == 0 && !joining->interface && !getenv("SGP_INTERFACE")) {
        arguments[count++] = (char *)"--interface";
        arguments[count++] = (char *)"127.0.0.1";
    }
    for (int i = 1; i < argc; i++) arguments[count++] = argv[i];
    options.file = SELF_FILE;
    options.argv = arguments;
    int status = launch(&options);
    free(arguments);
    return status;
}
