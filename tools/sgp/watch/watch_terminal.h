/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal of `sgp watch`: its other screen, without echo, as long as it is open. It is as before after terminal_close,
 * which the caller calls at every end; Ctrl-C, SIGTERM, SIGHUP and Ctrl-Z arrive as events, so that nothing ends the process
 * in between. Sequences of ECMA-48 that every terminal knows, and no library. One at a time. */
#ifndef SGP_WATCH_WATCH_TERMINAL_H
#define SGP_WATCH_WATCH_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

typedef enum terminal_event {
    TERMINAL_NOTHING, /* the time is over */
    TERMINAL_DRAW,    /* its size has changed, or it is back from the background */
    TERMINAL_END      /* q, end of input, or a signal: terminal_signal */
} terminal_event_t;

/* false, errno set: nothing has changed. */
bool terminal_open(void);
void terminal_close(void);

/* Descriptors that can be read when an event waits: (2). Returns how many. */
int terminal_descriptors(int descriptors[2]);

/* Waits for an event, at most so long. */
terminal_event_t terminal_wait(int milliseconds);

/* The signal that ended it; 0: none. */
int terminal_signal(void);

/* Columns and lines; 80 and 24 if unknown. */
void terminal_size(int *width, int *height);

/* Replaces the screen by lines, each of which ends in TERMINAL_LINE, in one write. false: it is gone. */
#define TERMINAL_LINE "\033[K\n"
bool terminal_show(const char *text, size_t length);

#endif
