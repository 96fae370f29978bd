/* SPDX-License-Identifier: Apache-2.0 */
/* Newcomers of a running group: what a member does for them as their sponsor, and what a newcomer does itself. It joins the
 * handshake (group/join/sponsor.h, candidate.h) to the view (group/membership.h). Called by the group's public calls about
 * newcomers and by the mixing; tests make newcomers over transports that nobody can call.
 *
 * The sponsor's side, for a candidate: it is offered a seat, with the view and the blob; between two steps of the sponsor
 * it gets the snapshot; when it is ready, the sponsor makes its JOIN notice with K. All of it happens at the beginning of
 * steps, by the thread that makes them. The state of the mixing is the mixing's (mixing/arrival.h).
 *
 * Not thread-safe. The protocol is in docs/membership.md, "Joining". */
#ifndef SGP_GROUP_NEWCOMERS_H
#define SGP_GROUP_NEWCOMERS_H

#include "group/entering.h"
#include "group/join/candidate.h"
#include "group/join/sponsor.h"
#include "group/membership.h"

/* ---- a member ---- */

/* What sgp_group_accept does; sockets false: without a sponsor, for tests, which call its owner themselves. */
sgp_status_t sgp_newcomers_accept(sgp_group_t *group, const sgp_newcomers_t *newcomers,
                                  bool sockets);

/* The owner that the sponsor calls (sponsor.h), of a group that accepts. */
sgp_sponsor_owner_t sgp_newcomers_owner(sgp_group_t *group);

/* ---- a newcomer ---- */

/* A group over a transport to the members, elastic, as the sponsor has offered it: `view` as in sgp_sponsor_offer_t. Takes
 * the transport and the candidate on success. candidate: NULL: `id` is the candidate's, and the JOIN notice has been made,
 * from step `step` on (tests). SGP_ERR_FORMAT: the view is none; SGP_ERR_NO_MEMORY; logged. */
typedef struct sgp_newcomer {
    sgp_transport_t *transport;
    sgp_candidate_t *candidate;
    uint64_t id, step;
    const void *view; /* (view_bytes) borrowed */
    size_t view_bytes;
    int timeout_ms; /* of collective calls; 0: the default */
    bool returns;   /* it was a member before, until the others struck it off */
} sgp_newcomer_t;

sgp_status_t sgp_newcomer_found(const sgp_newcomer_t *newcomer, sgp_group_t **group);

#endif
