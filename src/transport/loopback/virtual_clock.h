/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual time of loopback: it stands still while any context works, and jumps to the next arrival or deadline when all
 * sleep. Called by loopback alone, with the hub's lock held; it decides who wakes, and never sleeps itself. */
#ifndef SGP_TRANSPORT_LOOPBACK_VIRTUAL_CLOCK_H
#define SGP_TRANSPORT_LOOPBACK_VIRTUAL_CLOCK_H

#include "transport/loopback/hub.h"

/* If every context sleeps, moves on until one is awake. To be called whenever one falls asleep or ends. An arrival at a
 * rank that pauses wakes nobody. */
void sgp_virtual_clock_advance(sgp_loopback_t *hub);

#endif
