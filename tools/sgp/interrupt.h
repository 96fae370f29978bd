/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C and SIGTERM in a process that computes: a flag that its loop looks at. */
#ifndef SGP_INTERRUPT_H
#define SGP_INTERRUPT_H

#include <signal.h>

/* 0, or the number of the first signal that asked this process to stop. */
extern volatile sig_atomic_t interrupt_signal;

/* Catches SIGINT, SIGTERM and SIGHUP, each unless it was ignored when the process started. A second
 * one of the same kind ends the process at once. */
void interrupt_catch(void);

#endif
