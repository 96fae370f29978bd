/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp train` as one node of a group. */
#ifndef SGP_LAUNCH_NODE_H
#define SGP_LAUNCH_NODE_H

#include "launch/node_placement.h"

/* Joins the group and trains. Returns the program's exit status and has said what went wrong. */
int node_run(settings_t *settings, node_placement_t *place);

/* A run that is to be continued and has nothing left to do. Returns the exit status. */
int node_show_finished(settings_t *settings, const train_summary_t *summary);

/* Whether a run that ended with status is left in order: all nodes know how it ended. On another failure
 * the others learn of it because the node is gone. */
bool node_leaves(sgp_status_t status, const train_summary_t *summary);

/* Says how the run ended, on the node that writes its files. Returns the exit status. */
int node_end(const settings_t *settings, sgp_status_t status, const train_summary_t *summary,
             bool writes);

#endif
