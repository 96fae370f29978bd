/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this process is one node of a group, and which, as its launcher or --join says. */
#ifndef SGP_LAUNCH_NODE_PLACEMENT_H
#define SGP_LAUNCH_NODE_PLACEMENT_H

#include "cli/train_settings.h"

typedef struct node_placement {
    bool placed;        /* it is one node of a group; otherwise it starts the nodes itself */
    bool joins;         /* by --join or SGP_JOIN, started by a person */
    int rank;           /* -1: not known before the group is complete */
    int size;           /* processes of the group; 0: not known before the group is complete */
    const char *source; /* the launcher or option, for messages */
} node_placement_t;

/* After the options are parsed; settings->run.nodes is 0 if it was not given. Returns false after a
 * line about a wrong option or variable. */
bool node_placement_find(const settings_t *settings, node_placement_t *place);

/* Sets the number of nodes from the size of the group, unless the command line gives it. Returns
 * false if the two do not fit, after a line where `loud` is set. */
bool node_placement_set_nodes(settings_t *settings, const node_placement_t *place, bool loud);

/* Processes that the command line asks for; 0: not given. */
int node_placement_processes(const settings_t *settings);

/* Processes of the run on this machine where a foreign launcher has started them: its count, else
 * 1. */
int node_placement_local(void);

#endif
