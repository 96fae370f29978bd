/* SPDX-License-Identifier: Apache-2.0 */
/* The first process takes an exclusive lock, writes the file, and then shares the lock. flock does
 * not convert a lock atomically, so each process reads the token back from the file. */
#include "files/directory_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT = 160, PAUSE_MS = 10, LONGEST_MS = 5000, LOOKS = 3 };

/* DIRECTORY_LOCK_AGAIN: the file was just removed, or another process holds it for a moment. */
enum { DIRECTORY_LOCK_AGAIN = DIRECTORY_LOCK_FAILED + 1 };

/* "sgp PID HOST TOKEN\n". Returns false if the file is empty or not of this form. */
static bool read_text(directory_lock_t *lock, char token[DIRECTORY_LOCK_TOKEN]) {
    char text[TEXT];
    ssize_t length = pread(lock->file, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    return sscanf(text, "sgp %ld %64s %32s", &lock->pid, lock->host, token) == 3;
}

static bool write_text(directory_lock_t *lock, const char *token) {
    char text[TEXT];
    lock->pid = getpid();
    if (gethostname(lock->host, sizeof lock->host) != 0 || !*lock->host) strcpy(lock->host, "?");
    lock->host[sizeof lock->host - 1] = '\0';
    int length = snprintf(text, sizeof text, "sgp %ld %s %s\n", lock->pid, lock->host, token);
    ssize_t written = pwrite(lock->file, text, (size_t)length, 0);
    if (written >= 0 && written < length) errno = ENOSPC;
    return written == length && ftruncate(lock->file, length) == 0;
}

/* Whether the name still leads to the file. */
static bool is_in_place(const directory_lock_t *lock) {
    struct stat held, named;
    return fstat(lock->file, &held) == 0 && stat(lock->path, &named) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

/* A file of this name that sgp has not written is left alone. */
static bool is_ours(directory_lock_t *lock) {
    struct stat held;
    char token[DIRECTORY_LOCK_TOKEN];
    if (fstat(lock->file, &held) != 0) return false;
    bool ours = S_ISREG(held.st_mode) && (held.st_size == 0 || read_text(lock, token));
    if (!ours) errno = EEXIST;
    return ours;
}

static int share(directory_lock_t *lock, const char *token) {
    char found[DIRECTORY_LOCK_TOKEN];
    if (flock(lock->file, LOCK_SH | LOCK_NB) != 0 || !is_in_place(lock))
        return DIRECTORY_LOCK_AGAIN;
    if (!read_text(lock, found)) return DIRECTORY_LOCK_AGAIN;
    return strcmp(found, token) == 0 ? DIRECTORY_LOCK_SHARED : DIRECTORY_LOCK_BUSY;
}

static int begin(directory_lock_t *lock, const char *token) {
    if (!is_in_place(lock)) return DIRECTORY_LOCK_AGAIN;
    if (!is_ours(lock) || !write_text(lock, token)) return DIRECTORY_LOCK_FAILED;
    int state = share(lock, token);
    return state == DIRECTORY_LOCK_SHARED ? DIRECTORY_LOCK_FIRST : state;
}

static int try_once(directory_lock_t *lock, const char *token) {
    lock->file = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (lock->file < 0) return DIRECTORY_LOCK_FAILED;
    if (flock(lock->file, LOCK_EX | LOCK_NB) == 0) return begin(lock, token);
    if (errno == EWOULDBLOCK) return share(lock, token);
    bool none = errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL;
    return none ? DIRECTORY_LOCK_UNSUPPORTED : DIRECTORY_LOCK_FAILED;
}

static void close_it(directory_lock_t *lock) {
    int error = errno;
    if (lock->file >= 0) close(lock->file);
    lock->file = -1;
    errno = error;
}

/* A process that only tries the lock holds it for a moment, so one busy answer is not enough. */
directory_lock_state_t directory_lock_take(const char *directory,
                                           const char token[DIRECTORY_LOCK_TOKEN],
                                           directory_lock_t *lock) {
    *lock = (directory_lock_t){.file = -1};
    if (snprintf(lock->path, sizeof lock->path, "%s/" DIRECTORY_LOCK_FILE, directory) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return DIRECTORY_LOCK_FAILED;
    }
    int looks = 0;
    for (int waited = 0; waited < LONGEST_MS && looks < LOOKS; waited += PAUSE_MS) {
        int state = try_once(lock, token);
        if (state == DIRECTORY_LOCK_FIRST || state == DIRECTORY_LOCK_SHARED)
            return (directory_lock_state_t)state;
        close_it(lock);
        if (state == DIRECTORY_LOCK_UNSUPPORTED || state == DIRECTORY_LOCK_FAILED)
            return (directory_lock_state_t)state;
        looks = state == DIRECTORY_LOCK_BUSY ? looks + 1 : 0;
        poll(NULL, 0, PAUSE_MS);
    }
    return DIRECTORY_LOCK_BUSY;
}

void directory_lock_release(directory_lock_t *lock) {
    if (lock->file < 0) return;
    if (flock(lock->file, LOCK_EX | LOCK_NB) == 0 && is_in_place(lock)) unlink(lock->path);
    close_it(lock);
}

/* A pipe in the file's place must not block. */
bool directory_lock_is_held(const char *directory) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/" DIRECTORY_LOCK_FILE, directory) >= PATH_MAX) return false;
    int file = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return false;
    bool held = flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(file);
    return held;
}
