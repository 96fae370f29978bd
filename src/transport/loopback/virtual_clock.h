/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual time of loopback: it stands still while any context works, and jumps to the next arrival or deadline when
 * all sleep. Called by loopback.c alone, with the hub's lock held; it wakes contexts, and never sleeps itself. */
#ifndef SGP_TRANSPORT_LOOPBACK_VIRTUAL_CLOCK_H
#define SGP_TRANSPORT_LOOPBACK_VIRTUAL_CLOCK_H

#include "transport/loopback/hub.h"

/* If every context sleeps, moves the time until one wakes. Call it whenever a context falls asleep or ends. An arrival does
 * not wake a context that pauses. */
void sgp_virtual_clock_advance(sgp_loopback_t *hub);

#endif
