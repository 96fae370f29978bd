/* SPDX-License-Identifier: Apache-2.0 */
/* One run at a time works in a directory.
 *
 * Every process of the run holds a shared flock on DIR/lock. The lock ends with the last of them,
 * however they end, and a file left behind blocks no other run. The file names the process that
 * began and its host, and holds the run's token, by which the run's other processes recognise it. */
#ifndef SGP_FILES_DIRECTORY_LOCK_H
#define SGP_FILES_DIRECTORY_LOCK_H

#include <limits.h>
#include <stdbool.h>

enum { LOCK_TOKEN = 33, LOCK_HOST = 65, LOCK_PROBLEM = 128 };

#define LOCK_FILE "lock"

typedef enum lock_state {
    LOCK_FIRST,       /* held, and this process is the first of its run here */
    LOCK_SHARED,      /* held, with others of the same token */
    LOCK_BUSY,        /* not held: another run works here */
    LOCK_UNSUPPORTED, /* not held: the file system has no locks */
    LOCK_FAILED       /* not held: errno says why */
} lock_state_t;

typedef struct lock {
    int file; /* -1: not held */
    char path[PATH_MAX];
    long
        pid; /* of the process that has begun, and its host; LOCK_BUSY: 0, "": it has not said it */
    char host[LOCK_HOST];
} lock_t;

/* token: hexadecimal digits. May wait some seconds for a process that takes or leaves the lock
 * right now. Release *lock after LOCK_FIRST and LOCK_SHARED. */
lock_state_t lock_take(const char *directory, const char token[LOCK_TOKEN], lock_t *lock);

/* The last process of the run removes the file. Nothing happens to a lock that is not held. */
void lock_release(lock_t *lock);

#endif
