/* SPDX-License-Identifier: Apache-2.0 */
/* Newcomers of a running group: what a member does for them as their sponsor, and what a newcomer does itself. It joins the
 * handshake (group/join/sponsor.h, candidate.h) to the view (group/membership.h). Called by the group's public calls about
 * newcomers and by the mixing; tests call the sponsor's owner directly, over transports that nobody can call.
 *
 * The sponsor's side, for a candidate: it is offered a seat, with the view and the blob; between two steps of the sponsor
 * it gets the snapshot; when it is ready, the sponsor makes its JOIN notice with K, and before its own step K it sends the
 * state of the mixing (mixing/arrival.h). All of it happens at the beginning of steps (sgp_newcomers_begin_step), by the
 * thread that makes them; messages under way move in every look at the inbox.
 *
 * The protocol is in docs/membership.md, "Joining". */
#ifndef SGP_GROUP_NEWCOMERS_H
#define SGP_GROUP_NEWCOMERS_H

#include "group/join/sponsor.h"
#include "group/membership.h"

typedef struct sgp_newcomers_state
    sgp_newcomers_state_t; /* of a group that takes newcomers, or of a newcomer */

/* ---- a member ---- */

/* As sgp_group_accept, without calls over sockets if the transport has none (for tests). */
sgp_status_t sgp_newcomers_accept(sgp_group_t *group, const sgp_newcomers_t *newcomers);

/* The owner that a sponsor calls (sponsor.h); of a group that accepts. Only for the sponsor and for tests. */
const sgp_sponsor_owner_t *sgp_newcomers_owner(sgp_group_t *group);

/* At the beginning of the sponsor's step: serves candidates, and says which of them the mixing owes its state now:
 * *seat of the next one whose first step has come. false: none. NULL group state: none, one load. */
bool sgp_newcomers_due(sgp_group_t *group, uint64_t step, int *seat);

#endif
