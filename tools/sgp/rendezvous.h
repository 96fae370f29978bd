/* SPDX-License-Identifier: Apache-2.0 */
/* The directory in which the nodes of one run on this machine find each other. */
#ifndef SGP_RENDEZVOUS_H
#define SGP_RENDEZVOUS_H

#include <stdbool.h>

enum { RENDEZVOUS_PATH = 96 }; /* short enough for the socket addresses in it (108 bytes) */

/* Makes a new directory that only this user can enter, in XDG_RUNTIME_DIR or, if that is not there
 * or too long, in /tmp. Says what went wrong. */
bool rendezvous_create(char path[RENDEZVOUS_PATH]);

/* Removes it with all that is in it. */
void rendezvous_remove(const char *path);

#endif
