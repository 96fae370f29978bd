/* SPDX-License-Identifier: Apache-2.0 */
/* Joining a group that trains already, at the address of a member: sgp_group_join with options.contacts. Called by join.c alone. */
#ifndef SGP_GROUP_JOIN_JOIN_RUNNING_H
#define SGP_GROUP_JOIN_JOIN_RUNNING_H

#include "group/group_internal.h"
#include "group/join/origin.h"

/* from: how this process is reached, its key and its limits; completed from what the sponsor says, and copied. Blocks. Sets
 * *group only on success; its mixer completes the joining (group/newcomers.h). The errors of sgp_candidate_call and
 * sgp_candidate_connect. */
sgp_status_t sgp_join_running(const sgp_group_options_t *options, sgp_origin_t *from,
                              sgp_group_t **group);

#endif
