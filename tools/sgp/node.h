/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp train` as one node of a group, and as all nodes in threads of one process. */
#ifndef SGP_NODE_H
#define SGP_NODE_H

#include "settings.h"

/* This process's place in a group, as a launcher put it into the environment; size 0: none did. */
typedef struct place {
    int rank;
    int size;
} place_t;

/* Returns false after a line about what is wrong with SGP_RANK or SGP_SIZE. */
bool node_place(place_t *place);

/* Joins the group and trains. Returns the program's exit status and has said what went wrong. */
int node_run(const settings_t *settings, const place_t *place);

/* All nodes as threads over the loopback transport; otherwise as node_run. */
int threads_run(const settings_t *settings);

#endif
