/* SPDX-License-Identifier: Apache-2.0 */
#include "interrupt.h"

#include <stddef.h>

volatile sig_atomic_t interrupt_signal;

static void note(int number) {
    if (!interrupt_signal) interrupt_signal = number;
}

void interrupt_catch(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction before;
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler == SIG_IGN) continue;
        /* No SA_RESTART: a node asleep in a system call wakes up and looks at the flag. */
        struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESETHAND};
        sigaction(numbers[i], &action, NULL);
    }
}
