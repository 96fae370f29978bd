/* SPDX-License-Identifier: Apache-2.0 */
/* The group as the mixing and the program's loopback runs see it. */
#ifndef SGP_GROUP_GROUP_H
#define SGP_GROUP_GROUP_H

#include "transport/inbox.h"

#include <sgp/group.h>

/* A group over a transport that is connected already. Takes the transport on success:
 * sgp_group_leave destroys it. timeout_ms: 0 for the default. SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_group_create(sgp_transport_t *transport, int timeout_ms, sgp_group_t **group);

sgp_transport_t *sgp_group_transport(sgp_group_t *group);
sgp_inbox_t *sgp_group_inbox(sgp_group_t *group);

/* A number for a mixer's messages: the same on every node as long as all create their mixers in the
 * same order. */
uint32_t sgp_group_new_channel(sgp_group_t *group);

#endif
