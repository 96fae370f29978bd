/* SPDX-License-Identifier: Apache-2.0 */
/* The progress thread sends and receives a mixer's messages while its node computes. It is the transport's agent, and
 * decides which of the two contexts may use the transport and the inbox: the node gives them to the thread at the end of
 * a step and takes them back at the next. The algorithm's `work` runs there until it has nothing left to do or is
 * recalled. */
#ifndef SGP_MIXING_PROGRESS_THREAD_H
#define SGP_MIXING_PROGRESS_THREAD_H

#include "mixing/mixer_core.h"

#include "base/logging.h"

/* Fields are private. */
struct sgp_progress {
    sgp_mixer_t *mixer;
    /* Under the transport's lock: */
    sgp_status_t (*work)(sgp_mixer_t *mixer);
    bool holds;    /* the thread has the transport */
    bool recalled; /* the node wants it back */
    bool quit;
    sgp_status_t status;    /* the first error of work */
    char why[SGP_LOG_LINE]; /* its text */
};

/* Starts the agent as mixer->progress, idle; fine if it runs already. SGP_ERR_UNSUPPORTED: another mixer of the group has
 * a progress thread. SGP_ERR_NO_MEMORY. On an error nothing has changed. */
sgp_status_t sgp_progress_start(sgp_mixer_t *mixer);

/* Sets the work of an idle thread; NULL: none. serve: its substitute while the node itself is in a collective call;
 * NULL: none. */
void sgp_progress_assign(sgp_mixer_t *mixer, sgp_status_t (*work)(sgp_mixer_t *mixer),
                         void (*serve)(void *mixer));

/* Ends the agent, busy or not. Fine where there is none. */
void sgp_progress_stop(sgp_mixer_t *mixer);

/* Gives the transport to the thread, which begins to work. */
void sgp_progress_give(sgp_progress_t *progress);

/* Takes it back, asleep until work has returned. The errors of work; SGP_ERR_TIMEOUT. */
sgp_status_t sgp_progress_take(sgp_progress_t *progress, uint64_t deadline);

/* For the node, with the transport's lock held: whether the thread has the transport; the first error of work, whose text
 * becomes the last error of the caller. */
bool sgp_progress_holds(const sgp_progress_t *progress);
sgp_status_t sgp_progress_status(const sgp_progress_t *progress);

/* For serve: keeps an error for the next step. */
void sgp_progress_fail(sgp_progress_t *progress, sgp_status_t status);

/* For work: whether the node wants the transport back, or the thread must end. */
bool sgp_progress_recalled(sgp_progress_t *progress);
bool sgp_progress_must_end(sgp_progress_t *progress);

/* For work: sleeps until more chunks are here than `since` (sgp_inbox_taken_in before the first look), room came free, or
 * the node recalls the thread; may return earlier. SGP_ERR_PEER_LOST, SGP_ERR_NO_MEMORY (logged), or an error of the
 * inbox's watch. */
sgp_status_t sgp_progress_wait(sgp_progress_t *progress, uint64_t since);

#endif
