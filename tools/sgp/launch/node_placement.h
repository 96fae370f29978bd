/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this process is one node of a group, and of which. */
#ifndef SGP_LAUNCH_NODE_PLACEMENT_H
#define SGP_LAUNCH_NODE_PLACEMENT_H

#include "cli/train_settings.h"

/* As a launcher has put it into the environment, or --join says. */
typedef struct node_placement {
    bool placed;        /* it is one; otherwise it starts the nodes itself */
    bool joins;         /* by --join or SGP_JOIN, started by a person */
    int rank;           /* -1: not known before the group is there */
    int size;           /* processes of the group; 0: the same */
    const char *source; /* who says so, for messages */
} node_placement_t;

/* After the options are parsed; settings->run.nodes: 0: not given. Returns false after a line about what
 * is wrong with what was said. */
bool node_placement_find(const settings_t *settings, node_placement_t *place);

/* How many nodes a group of place->size processes is, unless the command line has said it. Returns false
 * after a line if it does not fit; not `loud`: without it. */
bool node_placement_set_nodes(settings_t *settings, const node_placement_t *place, bool loud);

/* Processes that the command line asks for; 0: it does not say. */
int node_placement_processes(const settings_t *settings);

/* Processes of the run on this machine, where this one is one of a group that others have started: as its launcher
 * says, else 1. */
int node_placement_local(void);

#endif
