/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/interrupt.h"

#include <stddef.h>

/* A frame with all vector registers takes up to 12 KiB. */
enum { STACK_BYTES = 65536 };

volatile sig_atomic_t interrupt_signal, interrupt_leave;

static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

static volatile pid_t the_launcher;

static void note(int number) {
    if (!interrupt_signal) interrupt_signal = number;
}

/* For SIGTERM and SIGUSR1. The sender may have told all processes of a group, the launcher among them, so a signal from the
 * launcher is no second one. */
static void note_leave(int number, siginfo_t *info, void *context) {
    static volatile sig_atomic_t asked[NSIG];
    (void)context;
    if (the_launcher && info->si_pid == the_launcher) {
        note(number);
        return;
    }
    if (asked[number]) {
        signal(number, SIG_DFL);
        raise(number);
    }
    asked[number] = 1;
    if (!interrupt_leave) interrupt_leave = number;
}

void interrupt_catch(void) {
    static char memory[STACK_BYTES];
    sigaltstack(&(stack_t){.ss_sp = memory, .ss_size = sizeof memory}, NULL);
    for (int i = 0; i < NUMBERS; i++) {
        struct sigaction before;
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler == SIG_IGN) continue;
        /* No SA_RESTART: a node asleep in a system call wakes up and looks at the flag. */
        struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESETHAND | SA_ONSTACK};
        sigaction(numbers[i], &action, NULL);
    }
}

void interrupt_may_leave(pid_t launcher) {
    static const int asking[] = {SIGTERM, SIGUSR1};
    the_launcher = launcher;
    for (int i = 0; i < 2; i++) {
        struct sigaction before,
            action = {.sa_sigaction = note_leave, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        sigaction(asking[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) sigaction(asking[i], &action, NULL);
    }
}

void interrupt_block(sigset_t *before) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < NUMBERS; i++) sigaddset(&set, numbers[i]);
    pthread_sigmask(SIG_BLOCK, &set, before);
}

void interrupt_unblock(const sigset_t *before) {
    pthread_sigmask(SIG_SETMASK, before, NULL);
}
