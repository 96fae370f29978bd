/* SPDX-License-Identifier: Apache-2.0 */
/* Lines on standard error. Each line is one write, so that lines of several nodes do not mix; on a terminal it replaces
 * the progress line. Any subcommand may call this; the library never does. */
#ifndef SGP_CLI_MESSAGE_H
#define SGP_CLI_MESSAGE_H

#include <stdbool.h>

/* Prints "sgp: " and the line. */
__attribute__((format(printf, 1, 2))) void message_error(const char *format, ...);

/* From now on message_error prints "sgp: ABOUT: " and the line; NULL ends that. about: borrowed until then. */
void message_about(const char *about);

/* Prints the line alone. */
__attribute__((format(printf, 1, 2))) void message_line(const char *format, ...);

/* Replaces the progress line of a terminal; NULL removes it. */
void message_progress(const char *text);

bool message_is_terminal(void);

/* Columns of the terminal on standard error; 80 if unknown. */
int message_width(void);

/* The same for standard output. */
int message_output_width(void);

/* From now on process r is called worker r % workers of node r / workers; 0, 1: node r. */
void message_workers(int workers);

enum { MESSAGE_NODE = 48 };

void message_node(int rank, char name[MESSAGE_NODE]);

/* From now on prints the library's log lines as "sgp: node 2: ...", until *quiet is not 0: while all nodes are being
 * stopped, their lines about each other are noise. */
void message_log_library(const volatile int *quiet);

#endif
