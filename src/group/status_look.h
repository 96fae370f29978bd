/* SPDX-License-Identifier: Apache-2.0 */
/* What a node reads off itself for the status (group/group_status.h): its own row, and what its group says of the seats. Called by
 * status_gossip.c, with the status locked and the use of the transport, and by status_take.c without that. */
#ifndef SGP_GROUP_STATUS_LOOK_H
#define SGP_GROUP_STATUS_LOOK_H

#include "group/status_internal.h"

/* What the transport's user alone can see: the vectors that have come, the members, what this node waits for. */
void sgp_status_look_around(sgp_group_status_t *status, uint64_t now);

/* Fills in this node's own row from what was handed in, reported and seen: its next version. */
void sgp_status_look_at_self(sgp_group_status_t *status);

/* Adds to the curves of loss and accuracy, if this node keeps any. */
void sgp_status_look_at_curves(sgp_group_status_t *status, uint64_t now);

#endif
