/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/rendezvous_folder.h"

#include "cli/message.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "sgp-rendezvous-"

/* Bytes of a path for the names of files that nodes make there. */
enum { RESERVED = 32 };

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw) {
    (void)stat;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

void rendezvous_remove(const char *path) {
    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* ---- directories of killed launchers ---- */

/* Whether the open directory is a rendezvous of this user without a lock. */
static bool is_abandoned(int directory) {
    struct stat about;
    return fstat(directory, &about) == 0 && about.st_uid == geteuid() &&
           (about.st_mode & 07777) == 0700 && flock(directory, LOCK_EX | LOCK_NB) == 0;
}

static void sweep_one(const char *parent, int above, const char *name) {
    char path[RENDEZVOUS_PATH];
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || strlen(name) != strlen(PREFIX "XXXXXX") ||
        snprintf(path, sizeof path, "%s/%s", parent, name) >= (int)sizeof path)
        return;
    int directory = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0) return;
    if (is_abandoned(directory)) rendezvous_remove(path);
    close(directory);
}

static void sweep(const char *parent) {
    DIR *folder = opendir(parent);
    if (!folder) return;
    for (struct dirent *entry; (entry = readdir(folder));)
        sweep_one(parent, dirfd(folder), entry->d_name);
    closedir(folder);
}

/* ---- a new one ---- */

/* Until it is locked, another launcher may take the directory for an abandoned one. */
static bool hold(rendezvous_t *rendezvous) {
    struct stat held, named;
    rendezvous->lock = open(rendezvous->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (rendezvous->lock < 0) return false;
    bool taken = flock(rendezvous->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!taken && fstat(rendezvous->lock, &held) == 0 && stat(rendezvous->path, &named) == 0 &&
        held.st_ino == named.st_ino)
        return true;
    close(rendezvous->lock);
    return false;
}

static bool try_in(const char *parent, rendezvous_t *rendezvous) {
    enum { TRIES = 100 };
    int length = snprintf(rendezvous->path, RENDEZVOUS_PATH, "%s/" PREFIX "XXXXXX", parent);
    if (length >= RENDEZVOUS_PATH - RESERVED) {
        errno = ENAMETOOLONG;
        return false;
    }
    sweep(parent);
    for (int i = 0; i < TRIES; i++) {
        strcpy(rendezvous->path + length - 6, "XXXXXX");
        if (!mkdtemp(rendezvous->path)) return false; /* mode 0700 */
        if (hold(rendezvous)) return true;
    }
    return false;
}

bool rendezvous_create(rendezvous_t *rendezvous) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && runtime[0] == '/' && try_in(runtime, rendezvous)) return true;
    if (try_in("/tmp", rendezvous)) return true;
    message_error("/tmp: the nodes' rendezvous directory cannot be made: %s", strerror(errno));
    return false;
}

void rendezvous_destroy(rendezvous_t *rendezvous) {
    rendezvous_remove(rendezvous->path);
    close(rendezvous->lock);
}
