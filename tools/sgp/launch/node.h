/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp train` as one node of a group. */
#ifndef SGP_LAUNCH_NODE_H
#define SGP_LAUNCH_NODE_H

#include "launch/node_placement.h"

/* Joins the group and trains. Returns the program's exit status and has printed the cause of a
 * failure. */
int node_run(settings_t *settings, node_placement_t *place);

/* Joins the running run at settings->joining.join: its options come from there, with those of the command line that a node has
 * for itself. Returns the program's exit status and has printed the cause of a failure. */
int node_join(settings_t *settings, int argc, char **argv);

/* Prints the result of a run that is resumed but was already finished. Returns the exit status. */
int node_show_finished(settings_t *settings, const train_summary_t *summary);

/* Whether a node leaves its group in order after a run that ended with this status: all nodes know
 * of the end. After another failure the others learn of it from the loss of this node. */
bool node_leaves(sgp_status_t status, const train_summary_t *summary);

/* Prints the end of the run, on the node that writes its files. Returns the exit status. */
int node_end(const settings_t *settings, sgp_status_t status, const train_summary_t *summary,
             bool writes);

#endif
