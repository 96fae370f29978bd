/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors and objects of a process that the child of its plain fork(), without exec, must not use.
 *
 * A child inherits every descriptor. While it lives, a connection of a parent that has died does
 * not end, so the other nodes notice the death only by the missing heartbeat. The child therefore
 * closes the descriptors that are marked here, before fork() returns in it; then the hooks run,
 * which disable the parent's objects in the child. Children of posix_spawn, or of fork and exec,
 * are served by close-on-exec.
 *
 * Any thread may call. No call allocates, and none fails. */
#ifndef SGP_BASE_FORK_H
#define SGP_BASE_FORK_H

/* Delay every fork() of this process from hold to release, so that a descriptor is made and marked
 * in one piece. Not nested; no blocking call in between. Both keep errno. */
void sgp_fork_hold(void);
void sgp_fork_release(void);

/* Between hold and release: a child closes this descriptor. One below 0, or above 2^20, is left
 * alone. Returns it. */
int sgp_fork_mark(int descriptor);

/* close() for a marked descriptor, not between hold and release. Below 0: nothing. */
void sgp_fork_close(int descriptor);

/* Embedded; in_child(context) runs in each forked child, in the forking thread, while no other
 * exists. It must not take a lock. */
typedef struct sgp_fork_hook {
    void (*in_child)(void *context);
    void *context;
    struct sgp_fork_hook *next; /* private */
} sgp_fork_hook_t;

/* hook: borrowed until removed. */
void sgp_fork_add_hook(sgp_fork_hook_t *hook, void (*in_child)(void *context), void *context);
void sgp_fork_remove_hook(sgp_fork_hook_t *hook); /* fine if it was not added */

#endif
