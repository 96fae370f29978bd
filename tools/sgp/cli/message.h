/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for a person, on standard error: each in one write, so that lines of several nodes do not
 * mix, and on a terminal in place of a progress line that may stand there. */
#ifndef SGP_CLI_MESSAGE_H
#define SGP_CLI_MESSAGE_H

#include <stdbool.h>

/* "sgp: " and the line. */
__attribute__((format(printf, 1, 2))) void message_error(const char *format, ...);

/* From now on "sgp: ABOUT: " and the line; NULL: no more. about: borrowed until then. */
void message_about(const char *about);

/* The line alone. */
__attribute__((format(printf, 1, 2))) void message_line(const char *format, ...);

/* Replaces the progress line on a terminal; the cursor stays behind it. NULL removes it. */
void message_progress(const char *text);

bool message_is_terminal(void);

/* Columns of the terminal; 80 when it does not say. */
int message_width(void);

/* The same of standard output, for results. */
int message_output_width(void);

/* From now on process r is called worker r % workers of node r / workers; 0, 1: node r. */
void message_workers(int workers);

enum { MESSAGE_NODE = 48 };

void message_node(int rank, char name[MESSAGE_NODE]);

/* From now on the library's log lines are printed, as "sgp: node 2: ...", until `*quiet` is not 0:
 * what nodes say about each other while all are being stopped helps nobody. */
void message_log_library(const volatile int *quiet);

#endif
