/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of a group's status for the server of the page (status/snapshot.h). Called by status_serving.c and tests. */
#ifndef SGP_GROUP_STATUS_TAKE_H
#define SGP_GROUP_STATUS_TAKE_H

#include "group/group_internal.h"
#include "status/snapshot.h"

/* A snapshot of the group (sgp_status_source_t.take, release). Any thread, as long as the group exists. */
sgp_status_t sgp_group_status_take(sgp_group_status_t *status, sgp_status_snapshot_t *snapshot);
void sgp_group_status_release(sgp_status_snapshot_t *snapshot);

#endif
