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

enum { DIRECTORY_LOCK_TOKEN = 33, DIRECTORY_LOCK_HOST = 65, DIRECTORY_LOCK_PROBLEM = 128 };

#define DIRECTORY_LOCK_FILE "lock"

typedef enum directory_lock_state {
    DIRECTORY_LOCK_FIRST,       /* held, and this process is the first of its run here */
    DIRECTORY_LOCK_SHARED,      /* held, with others of the same token */
    DIRECTORY_LOCK_BUSY,        /* not held: another run works here */
    DIRECTORY_LOCK_UNSUPPORTED, /* not held: the file system has no locks */
    DIRECTORY_LOCK_FAILED       /* not held: errno says why */
} directory_lock_state_t;

typedef struct directory_lock {
    int file; /* -1: not held */
    char path[PATH_MAX];
    long
        pid; /* of the process that has begun, and its host; DIRECTORY_LOCK_BUSY: 0, "": it has not said it */
    char host[DIRECTORY_LOCK_HOST];
} directory_lock_t;

/* token: hexadecimal digits. May wait some seconds for a process that takes or leaves the lock
 * right now. Release *lock after DIRECTORY_LOCK_FIRST and DIRECTORY_LOCK_SHARED. */
directory_lock_state_t directory_lock_take(const char *directory,
                                           const char token[DIRECTORY_LOCK_TOKEN],
                                           directory_lock_t *lock);

/* The last process of the run removes the file. Nothing happens to a lock that is not held. */
void directory_lock_release(directory_lock_t *lock);

#endif
