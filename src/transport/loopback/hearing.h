/* SPDX-License-Identifier: Apache-2.0 */
/* Which rank of a loopback hub hears which other (docs/membership.md, "Silence"): a stalled rank says nothing, and a cut
 * link carries nothing. Called by the files of transport/loopback alone, with the hub's lock held. It writes the ranks'
 * fates and never moves the clock. Heartbeats are not messages here: a rank is heard at any time at which it runs and its
 * link is not cut, so a run without such faults has no events of silence. */
#ifndef SGP_TRANSPORT_LOOPBACK_HEARING_H
#define SGP_TRANSPORT_LOOPBACK_HEARING_H

#include "transport/loopback/hub.h"

/* options->seats is set. SGP_ERR_NO_MEMORY, logged. sgp_hearing_fini is due in every case. */
sgp_status_t sgp_hearing_init(sgp_hearing_t *hearing, const sgp_loopback_options_t *options);
void sgp_hearing_fini(sgp_hearing_t *hearing);

/* The seat has a new member. opened: for one of the others, which may not hear it. */
void sgp_hearing_seat(sgp_loopback_t *hub, int seat);
void sgp_hearing_opened(sgp_loopback_t *hub);

/* When sgp_hearing_look may find something next; SGP_NEVER. */
uint64_t sgp_hearing_next(const sgp_loopback_t *hub);

/* At hub->clock: notes who is silent for whom, who is trusted again, who was absent, and who is given up. Pokes the ranks
 * that have an event. */
void sgp_hearing_look(sgp_loopback_t *hub);

/* Nanoseconds since the rank last heard the other; 0: it hears it. */
uint64_t sgp_hearing_silence(const sgp_loopback_t *hub, int rank, int other);

#endif
