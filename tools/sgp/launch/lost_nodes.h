/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes without which the others go on: the nodes tell their launcher through an unnamed file, since a node that hangs
 * or is cut off does not end by itself. */
#ifndef SGP_LAUNCH_LOST_NODES_H
#define SGP_LAUNCH_LOST_NODES_H

#include <stdbool.h>

/* In the launcher: a descriptor of the file; -1: there is none, and the nodes tell nothing. */
int lost_nodes_open(void);

/* Whether some node has given that process up. */
bool lost_nodes_has(int descriptor, int process);

/* In a new node, before the program is executed: names the file in the environment. */
void lost_nodes_export(int descriptor, int launcher_pid);

/* In a node: whether a launcher of this machine has started it. */
bool lost_nodes_launched(void);

/* In a node: whether some node has given that process up. */
bool lost_nodes_told(int process);

/* In a node: tells the launcher, if there is one. */
void lost_nodes_tell(int process);

/* In a node: that process, or this one, has come back. */
void lost_nodes_regain(int process);
void lost_nodes_regain_self(void);

#endif
