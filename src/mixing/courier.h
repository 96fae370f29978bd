/* SPDX-License-Identifier: Apache-2.0 */
/* A courier carries a mixer's messages while its node computes: the transport's agent, with the
 * rules of who of the two has the use of the transport (and of the inbox).
 *
 * The node gives the transport away at the end of a step and takes it back at the next. What the
 * courier does with it is the algorithm's: `work` runs in the agent's context until it has nothing
 * more to do, or until it is wanted back. */
#ifndef SGP_MIXING_COURIER_H
#define SGP_MIXING_COURIER_H

#include "mixing/mixer.h"

/* Embedded; fields are private. */
typedef struct sgp_courier {
    sgp_mixer_t *mixer;
    sgp_status_t (*work)(sgp_mixer_t *mixer);
    /* These belong to the transport's lock. */
    bool has;    /* the courier has the transport */
    bool wanted; /* the node wants it back */
    bool quit;
    sgp_status_t status; /* the first error of work */
} sgp_courier_t;

/* Starts the agent, which waits until it is given something to do. serve: what to do meanwhile if
 * the node itself is in a collective call; NULL: nothing. SGP_ERR_UNSUPPORTED: the group has a
 * courier already. SGP_ERR_NO_MEMORY. On an error there is nothing to stop. */
sgp_status_t sgp_courier_start(sgp_courier_t *courier, sgp_mixer_t *mixer,
                               sgp_status_t (*work)(sgp_mixer_t *mixer),
                               void (*serve)(void *mixer));

/* Ends the agent, whatever it is doing. */
void sgp_courier_stop(sgp_courier_t *courier);

void sgp_courier_give(sgp_courier_t *courier);

/* Asleep until the courier has done what work does not leave undone. Its errors; SGP_ERR_TIMEOUT. */
sgp_status_t sgp_courier_take(sgp_courier_t *courier, uint64_t deadline);

/* For work: whether it is wanted back, or must end. */
bool sgp_courier_wanted(sgp_courier_t *courier);
bool sgp_courier_must_end(sgp_courier_t *courier);

/* For work: sleeps until more is here than `since` (sgp_inbox_taken_in, before what is there was
 * looked at), room came free, or somebody wants something. SGP_ERR_PEER_LOST, SGP_ERR_NO_MEMORY; logged. */
sgp_status_t sgp_courier_wait(sgp_courier_t *courier, uint64_t since);

#endif
