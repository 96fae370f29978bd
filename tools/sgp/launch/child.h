/* SPDX-License-Identifier: Apache-2.0 */
/* This program as a child of itself, with other arguments. */
#ifndef SGP_LAUNCH_CHILD_H
#define SGP_LAUNCH_CHILD_H

/* Runs it to its end. argv: with the program's name first, ends with NULL. Signals that ask this
 * process to stop ask the child instead, as SIGTERM: the first and each that follows; *stopped is
 * then the first one's number, else 0. If this process is killed, the child is asked as well.
 * Returns the child's exit status, 128 and the signal's number if one has ended it, or EXIT_FAILED
 * after a line about why it could not be started. */
int child_run(char *const *argv, int *stopped);

#endif
