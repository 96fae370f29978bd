/* SPDX-License-Identifier: Apache-2.0 */
/* How long a launcher waits for nodes that it has asked to end: the nodes tell it through an unnamed file, since a step
 * may take minutes. */
#ifndef SGP_LAUNCH_PATIENCE_H
#define SGP_LAUNCH_PATIENCE_H

/* In the launcher: a descriptor of the file; -1: there is none, and the nodes tell nothing. */
int patience_open(void);

/* The longest time of the nodes so far, in seconds; 0: none has told. nodes: processes. */
int patience_longest(int descriptor, int nodes);

/* In a new node, before the program is executed: names the file in the environment. */
void patience_export(int descriptor, int launcher_pid);

/* In a node: tells the launcher, if there is one; a train_callbacks_t.patience. */
void patience_tell(double seconds, int rank);

#endif
