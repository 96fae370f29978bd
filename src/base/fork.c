/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fork.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#define MOST (1 << 20) /* descriptors; an untouched page of the table costs nothing */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below; fork() takes it */
static uint64_t marked[MOST / 64];                       /* a bit for each descriptor */
static int words;                                        /* of the table that may have bits */
static sgp_fork_hook_t *hooks;

static void before_fork(void) {
    pthread_mutex_lock(&lock);
}

static void after_fork(void) {
    pthread_mutex_unlock(&lock);
}

static void close_marked(void) {
    for (int word = 0; word < words; word++)
        for (; marked[word]; marked[word] &= marked[word] - 1)
            close(64 * word + __builtin_ctzll(marked[word]));
}

/* In the child, whose only thread holds the lock, as the forking thread did. */
static void in_child(void) {
    int error = errno;
    close_marked();
    for (sgp_fork_hook_t *hook = hooks; hook; hook = hook->next) hook->in_child(hook->context);
    errno = error;
    pthread_mutex_unlock(&lock);
}

/* Without memory for a handler children keep what they inherit. */
static void install(void) {
    (void)pthread_atfork(before_fork, after_fork, in_child);
}

void sgp_fork_hold(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int error = errno;
    pthread_once(&once, install);
    pthread_mutex_lock(&lock);
    errno = error;
}

void sgp_fork_release(void) {
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
}

static bool in_table(int descriptor) {
    return descriptor >= 0 && descriptor < MOST;
}

int sgp_fork_mark(int descriptor) {
    if (!in_table(descriptor)) return descriptor;
    marked[descriptor / 64] |= (uint64_t)1 << descriptor % 64;
    if (descriptor / 64 >= words) words = descriptor / 64 + 1;
    return descriptor;
}

void sgp_fork_close(int descriptor) {
    if (descriptor < 0) return;
    sgp_fork_hold(); /* a number that is free again may be another thread's next descriptor */
    if (in_table(descriptor)) marked[descriptor / 64] &= ~((uint64_t)1 << descriptor % 64);
    close(descriptor);
    sgp_fork_release();
}

void sgp_fork_add_hook(sgp_fork_hook_t *hook, void (*run)(void *context), void *context) {
    sgp_fork_hold();
    *hook = (sgp_fork_hook_t){.in_child = run, .context = context, .next = hooks};
    hooks = hook;
    sgp_fork_release();
}

void sgp_fork_remove_hook(sgp_fork_hook_t *hook) {
    sgp_fork_hold();
    sgp_fork_hook_t **at = &hooks;
    while (*at && *at != hook) at = &(*at)->next;
    if (*at) *at = hook->next;
    sgp_fork_release();
}
