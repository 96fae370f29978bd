/* SPDX-License-Identifier: Apache-2.0 */
/* A node that the others have struck off by mistake comes back: it joins their run again, as a newcomer with the state of a
 * sponsor. In between it writes nothing: the run's files are the others'. Called by node.c, between two calls of train_run or
 * train_join. */
#ifndef SGP_LAUNCH_NODE_RETURN_H
#define SGP_LAUNCH_NODE_RETURN_H

#include "cli/train_settings.h"

#include "group/join/rejoin.h"
#include "run/train.h"

/* All zero: it has not happened yet. Fields are private but for the invitation. */
typedef struct node_return {
    invitation_t invitation; /* of the run that it comes back to */
    sgp_rejoin_t where;
    int tries;      /* without a longer stretch of training between them */
    uint64_t since; /* of the last one, sgp_clock_now */
} node_return_t;

/* The run of this node has ended with `status`. true: the others had struck it off, or it was on its way back to them; its group
 * was replaced by one that it has joined again, and train_join with the invitation comes next. false: that is the end; groups
 * may hold no group any more. Blocks, at most for twice the time to join. */
bool node_return_begin(node_return_t *back, settings_t *settings, train_groups_t *groups,
                       sgp_status_t status);

void node_return_fini(node_return_t *back);

#endif
