/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of an elastic group, from the options with which it was joined. Called by join.c, and by split.c for the groups
 * made from it. */
#ifndef SGP_GROUP_JOIN_ELASTIC_LIMITS_H
#define SGP_GROUP_JOIN_ELASTIC_LIMITS_H

#include "group/group_internal.h"
#include "group/join/origin.h"

/* No effect on a group that is not elastic. */
void sgp_elastic_limits_set(const sgp_origin_t *origin, sgp_group_t *group);

#endif
