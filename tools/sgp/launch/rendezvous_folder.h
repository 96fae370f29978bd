/* SPDX-License-Identifier: Apache-2.0 */
/* The directory in which the nodes of one run on this machine find each other. Its maker holds a
 * lock on it (flock): a directory that nobody holds is left from a launcher that was killed, and
 * the next one removes it. */
#ifndef SGP_LAUNCH_RENDEZVOUS_FOLDER_H
#define SGP_LAUNCH_RENDEZVOUS_FOLDER_H

#include <stdbool.h>

enum { RENDEZVOUS_PATH = 96 }; /* short enough for the socket addresses in it (108 bytes) */

typedef struct rendezvous {
    char path[RENDEZVOUS_PATH];
    int lock; /* the open directory */
} rendezvous_t;

/* Makes a new directory that only this user can enter, in XDG_RUNTIME_DIR or, if that is not there
 * or too long, in /tmp, and removes what killed launchers have left there. Says what went wrong. */
bool rendezvous_create(rendezvous_t *rendezvous);
void rendezvous_destroy(rendezvous_t *rendezvous);

/* Removes a directory with all that is in it. For a node, once all have joined, if its launcher
 * wants that (SGP_RENDEZVOUS_ONCE): then a killed launcher leaves nothing. */
void rendezvous_remove(const char *path);

#endif
