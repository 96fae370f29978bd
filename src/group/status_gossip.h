/* SPDX-License-Identifier: Apache-2.0 */
/* How rows about members (status_row.h) get around: by gossip, in messages of the kind STATUS, so that every node knows of all
 * and no node is a collector. Called by group_status.c, and whenever a node looks at its inbox (sgp_inbox_look).
 *
 * A node that wants rows says so in its own row. Those that get it begin to send, and pass it on; they stop when no such row
 * has been renewed for a minute. Twice a second, while it looks, a node sends one message to one other node. Two of three go
 * to the node by which the rows of one that wants rows come over the fewest others, which is the way back to that. The third goes by
 * turns to the nodes that get its pushes, those that send it rows, and those 1, 2, 4, ... seats on, so that rows also get around where
 * nodes push to few others. A message has the node's own row and some of the others', first those that are news, and those that
 * have waited longest. It also says how many of the other's messages were taken, so that few are under way to a node that does not
 * look; one for which there is no room is left out, and nothing blocks. */
#ifndef SGP_GROUP_STATUS_GOSSIP_H
#define SGP_GROUP_STATUS_GOSSIP_H

#include "group/status_internal.h"

/* Switches the status on: memory for the rows, and room for messages. Fine if it is on. SGP_ERR_NO_MEMORY, logged once. The caller
 * has the use of the transport. */
sgp_status_t sgp_status_switch_on(sgp_group_status_t *status);

/* The service of the kind STATUS (sgp_inbox_set_service). */
bool sgp_status_serve(void *status);

#endif
