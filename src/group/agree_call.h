/* SPDX-License-Identifier: Apache-2.0 */
/* Agree (agree.h) over a group's inbox: the collective call that survives losses. A rank that is lost, or has left, is
 * out of the live set (transport/fates.h); seats are ranks. Called by collective.c, the mixing and the run. Not
 * thread-safe: the caller has the use of the group's transport.
 *
 * Messages have the kind AGREE and, as their step, a number of their own for each pair of ranks, so that they are taken in
 * the order in which they were sent. Late messages of the last call are answered in every wait of this node, and whenever
 * it looks at its inbox (sgp_inbox_look): a member can depend on the answer of one that trains on. */
#ifndef SGP_GROUP_AGREE_CALL_H
#define SGP_GROUP_AGREE_CALL_H

#include "group/agree.h"
#include "group/group_internal.h"

/* Makes a new group elastic: barrier and gather are calls of agree. Every rank of the group does so, before its first
 * message. Promises the room of four messages (transport.h). SGP_ERR_NO_MEMORY: nothing changed. */
sgp_status_t sgp_group_become_elastic(sgp_group_t *group);

/* sgp_group_create, and elastic if the transport is (transport.h). */
sgp_status_t sgp_group_found(sgp_transport_t *transport, int timeout_ms, sgp_group_t **group);

/* One call, which all ranks of an elastic group make that are not gone: returns when all survivors have the same result.
 * payload: (bytes) at most 64 KiB, 0 is fine; of any length on each rank. *result is valid until the next call; set only
 * on success. Blocks as sgp_group_gather. SGP_ERR_TIMEOUT; SGP_ERR_PEER_LOST: another rank goes on without this one, or
 * this one was ended; SGP_ERR_INVALID: payload too long. */
sgp_status_t sgp_group_agree(sgp_group_t *group, const void *payload, size_t bytes,
                             sgp_agree_result_t *result);

/* The payload (*bytes) that a rank has given to the next call, which this one has not begun; NULL: none has come. Looks at
 * nothing new. */
const void *sgp_agree_call_early(const sgp_agree_call_t *call, int rank, size_t *bytes);

/* ---- newcomers (docs/membership.md, "Joining") ---- */

/* From now on this node agrees with the newcomer of that seat, which the transport has opened: the member does so that gives
 * it its first state, before its own next call. The others do of their own accord, once they hear of it in a call: from the
 * newcomer, or in another's set. No effect if the seat's member takes part already. */
void sgp_agree_call_admit(sgp_agree_call_t *call, int rank);

/* Of a newcomer, before its first call: so many calls were made before. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_agree_call_start_at(sgp_agree_call_t *call, uint64_t calls);

/* What a newcomer has to know: the calls so far, and the seats that take part in them (sgp_seats_bytes(capacity)). */
uint64_t sgp_agree_call_calls(const sgp_agree_call_t *call);
const unsigned char *sgp_agree_call_seats(const sgp_agree_call_t *call);

/* Of a newcomer, before the others can know of it: messages of the others stay where they are until its first call. Before
 * that it does not know which calls there were, and who takes part. */
void sgp_agree_call_wait_to_enter(sgp_agree_call_t *call);

/* Of a newcomer, before its first call: with these seats, as far as they are there, and its own. The errors of start_at. */
sgp_status_t sgp_agree_call_enter(sgp_agree_call_t *call, uint64_t calls,
                                  const unsigned char *seats);

#endif
