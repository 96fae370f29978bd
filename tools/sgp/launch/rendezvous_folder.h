/* SPDX-License-Identifier: Apache-2.0 */
/* The directory in which the nodes of one run on this machine find each other. The launcher holds a
 * lock on it (flock). A directory without a lock belonged to a launcher that was killed, and the
 * next launcher removes it. */
#ifndef SGP_LAUNCH_RENDEZVOUS_FOLDER_H
#define SGP_LAUNCH_RENDEZVOUS_FOLDER_H

#include <stdbool.h>

enum { RENDEZVOUS_PATH = 96 }; /* short enough for the socket addresses in it (108 bytes) */

typedef struct rendezvous {
    char path[RENDEZVOUS_PATH];
    int lock; /* descriptor of the locked directory */
} rendezvous_t;

/* Makes a new directory that only this user can enter, in XDG_RUNTIME_DIR or, if that is missing or
 * too long, in /tmp, and removes those of killed launchers there. Returns false after a line. */
bool rendezvous_create(rendezvous_t *rendezvous);
void rendezvous_destroy(rendezvous_t *rendezvous);

/* Removes a directory with its contents. A node calls it once all have joined, if the launcher set
 * SGP_RENDEZVOUS_ONCE: then even a killed launcher leaves no directory. */
void rendezvous_remove(const char *path);

#endif
