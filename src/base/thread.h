/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that the library starts for itself. */
#ifndef SGP_BASE_THREAD_H
#define SGP_BASE_THREAD_H

#include <pthread.h>

/* Runs body(argument) in a new thread that blocks all signals: the program's own threads handle
 * those. Its log lines go where the caller's go. The caller joins it. Returns 0, or the errno of the failure. */
int sgp_thread_start(pthread_t *thread, void *(*body)(void *argument), void *argument);

#endif
