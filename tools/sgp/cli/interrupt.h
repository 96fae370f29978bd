/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C and SIGTERM in a process that computes: they set a flag, which its loop reads. A node of a run whose others go on
 * without it has another flag for SIGTERM and SIGUSR1: it leaves, and the run does not end.
 *
 * oneDNN's generated code keeps data below the stack pointer, further down than the ABI allows: a
 * handler on a computing thread's stack would overwrite them. So the handler has its own stack, and threads other than
 * the main one block the signals. */
#ifndef SGP_CLI_INTERRUPT_H
#define SGP_CLI_INTERRUPT_H

#include <signal.h>
#include <sys/types.h>

/* 0, or the number of the first signal that asked this process to stop. */
extern volatile sig_atomic_t interrupt_signal;

/* 0, or the number of the first signal that asked this process alone to leave. */
extern volatile sig_atomic_t interrupt_leave;

/* Catches SIGINT, SIGTERM and SIGHUP, each unless it was ignored when the process started, on the
 * calling thread. A second one of the same kind ends the process at once. */
void interrupt_catch(void);

/* After interrupt_catch: from now on SIGTERM and SIGUSR1 set interrupt_leave, a second one of the same kind ends the process at
 * once; but SIGTERM from the process `launcher` (0: there is none) ends the run. */
void interrupt_may_leave(pid_t launcher);

/* Blocks these signals in the calling thread and in threads that it starts. *before: for interrupt_unblock. */
void interrupt_block(sigset_t *before);
void interrupt_unblock(const sigset_t *before);

#endif
