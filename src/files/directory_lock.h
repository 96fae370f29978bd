/* SPDX-License-Identifier: Apache-2.0 */
/* A lock on a directory, shared by processes that have the same token.
 *
 * Each of them holds a shared flock on DIR/lock. The lock ends with the last of them, however they
 * end, and a file left behind blocks no later process. The file names the process that took the lock first
 * and its host, and holds the token. */
#ifndef SGP_FILES_DIRECTORY_LOCK_H
#define SGP_FILES_DIRECTORY_LOCK_H

#include <limits.h>
#include <stdbool.h>

enum { DIRECTORY_LOCK_TOKEN = 33, DIRECTORY_LOCK_HOST = 65, DIRECTORY_LOCK_PROBLEM = 128 };

#define DIRECTORY_LOCK_FILE "lock"

typedef enum directory_lock_state {
    DIRECTORY_LOCK_FIRST,       /* held, and this process is the first with its token */
    DIRECTORY_LOCK_SHARED,      /* held, with others of the same token */
    DIRECTORY_LOCK_BUSY,        /* not held: a process with another token holds it */
    DIRECTORY_LOCK_UNSUPPORTED, /* not held: the file system has no locks */
    DIRECTORY_LOCK_FAILED       /* not held: errno says why */
} directory_lock_state_t;

typedef struct directory_lock {
    int file; /* -1: not held */
    char path[PATH_MAX];
    long pid; /* of the first process; DIRECTORY_LOCK_BUSY: 0 if it has not written it yet */
    char host[DIRECTORY_LOCK_HOST]; /* of the same; "" then */
} directory_lock_t;

/* token: hexadecimal digits. May block for some seconds while another process takes or releases the
 * lock. Release *lock after DIRECTORY_LOCK_FIRST and DIRECTORY_LOCK_SHARED. */
directory_lock_state_t directory_lock_take(const char *directory,
                                           const char token[DIRECTORY_LOCK_TOKEN],
                                           directory_lock_t *lock);

/* Whether a process holds the lock; false where that cannot be found out. Takes it for a moment, which others allow for. */
bool directory_lock_is_held(const char *directory);

/* The last process with the token removes the file. Does nothing if the lock is not held. */
void directory_lock_release(directory_lock_t *lock);

#endif
