/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include "base/logging.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* Handed to the new thread, which frees it. */
typedef struct start {
    void *(*body)(void *argument);
    void *argument;
    const sgp_log_sink_t *sink;
} start_t;

static void *thread_main(void *argument) {
    start_t start = *(start_t *)argument;
    free(argument);
    sgp_log_use(start.sink);
    return start.body(start.argument);
}

int sgp_thread_start(pthread_t *thread, void *(*body)(void *argument), void *argument) {
    sigset_t all, before;
    start_t *start = malloc(sizeof *start);
    if (!start) return ENOMEM;
    *start = (start_t){body, argument, sgp_log_used()};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited by the new thread */
    int error = pthread_create(thread, NULL, thread_main, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) free(start);
    return error;
}
