/* SPDX-License-Identifier: Apache-2.0 */
/* Newcomers (group/newcomers.h), as the mixing sees them: a member serves them between two steps, and a newcomer enters when its
 * mixer is created. Not thread-safe. */
#ifndef SGP_GROUP_ENTERING_H
#define SGP_GROUP_ENTERING_H

#include "group/membership.h"

/* At the beginning of a step, between two: serves candidates. Without newcomers one load. */
void sgp_newcomers_begin_step(sgp_group_t *group);

/* Whether this node is a newcomer that has not made a mixer. */
bool sgp_newcomer_is_entering(const sgp_group_t *group);

/* Whether this node joined as one that was a member before, until the others struck it off. */
bool sgp_newcomer_returns(const sgp_group_t *group);

/* It is ready: returns once the sponsor has made its JOIN notice. Blocks, at most until the time limit of the group. *step: K. The
 * errors of sgp_candidate_ready. */
sgp_status_t sgp_newcomer_ready(sgp_group_t *group, uint64_t *step);

/* Its mixer has the state of a member, and makes that step next. */
void sgp_newcomer_entered(sgp_group_t *group, uint64_t first_step);

#endif
