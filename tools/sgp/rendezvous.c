/* SPDX-License-Identifier: Apache-2.0 */
#include "rendezvous.h"

#include "message.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for the names of what nodes put there. */
enum { RESERVED = 32 };

static bool try_in(const char *parent, char path[RENDEZVOUS_PATH]) {
    int length = snprintf(path, RENDEZVOUS_PATH, "%s/sgp-XXXXXX", parent);
    if (length >= RENDEZVOUS_PATH - RESERVED) {
        errno = ENAMETOOLONG;
        return false;
    }
    return mkdtemp(path) != NULL; /* mode 0700 */
}

bool rendezvous_create(char path[RENDEZVOUS_PATH]) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && runtime[0] == '/' && try_in(runtime, path)) return true;
    if (try_in("/tmp", path)) return true;
    message_error("/tmp: no directory for the nodes to meet in: %s", strerror(errno));
    return false;
}

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
