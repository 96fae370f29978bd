/* SPDX-License-Identifier: Apache-2.0 */
/* A courier carries a mixer's messages while its node computes: the transport's agent, with the
 * rules of who of the two has the use of the transport (and of the inbox).
 *
 * The node gives the transport away at the end of a step and takes it back at the next. What the
 * courier does with it is the algorithm's: `work` runs in the agent's context until it has nothing
 * more to do, or until it is wanted back. */
#ifndef SGP_MIXING_PROGRESS_THREAD_H
#define SGP_MIXING_PROGRESS_THREAD_H

#include "mixing/mixer_internal.h"

/* Fields are private. */
struct sgp_courier {
    sgp_mixer_t *mixer;
    /* These belong to the transport's lock. */
    sgp_status_t (*work)(sgp_mixer_t *mixer);
    bool has;    /* the courier has the transport */
    bool wanted; /* the node wants it back */
    bool quit;
    sgp_status_t status; /* the first error of work */
};

/* Starts the agent as mixer->courier, which waits until it is given something to do; one that runs
 * already is fine. SGP_ERR_UNSUPPORTED: another mixer of the group has a courier. SGP_ERR_NO_MEMORY.
 * On an error nothing has changed. */
sgp_status_t sgp_courier_start(sgp_mixer_t *mixer);

/* Gives an idle courier its work; NULL: none. serve: called instead while the node itself is in a
 * collective call; NULL: nothing is done then. */
void sgp_courier_employ(sgp_mixer_t *mixer, sgp_status_t (*work)(sgp_mixer_t *mixer),
                        void (*serve)(void *mixer));

/* Ends the agent, whatever it is doing. Fine where there is none. */
void sgp_courier_stop(sgp_mixer_t *mixer);

void sgp_courier_give(sgp_courier_t *courier);

/* Asleep until the courier has done what work does not leave undone. Its errors; SGP_ERR_TIMEOUT. */
sgp_status_t sgp_courier_take(sgp_courier_t *courier, uint64_t deadline);

/* For work: whether it is wanted back, or must end. */
bool sgp_courier_wanted(sgp_courier_t *courier);
bool sgp_courier_must_end(sgp_courier_t *courier);

/* For work: sleeps until more is here than `since` (sgp_inbox_taken_in, before what is there was
 * looked at), room came free, or somebody wants something; may return earlier. SGP_ERR_PEER_LOST,
 * SGP_ERR_NO_MEMORY (logged), or what the inbox's watch says. */
sgp_status_t sgp_courier_wait(sgp_courier_t *courier, uint64_t since);

#endif
