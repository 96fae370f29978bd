/* SPDX-License-Identifier: Apache-2.0 */
/* Runs this program as a child process, with other arguments. */
#ifndef SGP_LAUNCH_CHILD_H
#define SGP_LAUNCH_CHILD_H

/* Runs the child to its end. argv: the program's name first, ends with NULL. A signal that asks
 * this process to stop is passed to the child as SIGTERM, the first one and each that follows;
 * *stopped is then the number of the first, else 0. If this process is killed, the child receives
 * SIGTERM too. Returns the child's exit status, 128 + the number of the signal that ended it, or
 * EXIT_FAILED after a line if it could not be started. */
int child_run(char *const *argv, int *stopped);

#endif
