/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher that started this process, and the rank and size that it gave, from options and
 * environment. */
#ifndef SGP_GROUP_JOIN_PLACEMENT_H
#define SGP_GROUP_JOIN_PLACEMENT_H

#include "group/join/launcher.h"

/* options: as for sgp_group_join. SGP_ERR_INVALID (logged): a value makes no sense. */
sgp_status_t sgp_placement_find(const sgp_group_options_t *options, sgp_placement_t *placement);

#endif
