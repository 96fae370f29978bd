/* SPDX-License-Identifier: Apache-2.0 */
/* How the contexts of loopback's ranks sleep and wake, each in its thread: in real time on a condition, in virtual time until
 * the clock ends the sleep. A thread that is woken needs the hub's lock, so it is told as the lock is given free: take and give
 * it by the calls below. Called by loopback.c alone. */
#ifndef SGP_TRANSPORT_LOOPBACK_TURNS_H
#define SGP_TRANSPORT_LOOPBACK_TURNS_H

#include "transport/loopback/hub.h"

/* What a rank's threads sleep on, for as long as the hub lives. */
void sgp_turns_init(rank_t *rank);
void sgp_turns_fini(rank_t *rank);

/* A member begins on the seat: its first context works, and there is no agent. */
void sgp_turns_begin(rank_t *rank);

/* The hub's lock. unlock wakes who is to run now. */
void sgp_turns_lock(sgp_loopback_t *hub);
void sgp_turns_unlock(sgp_loopback_t *hub);

#endif
