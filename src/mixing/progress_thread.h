/* SPDX-License-Identifier: Apache-2.0 */
/* The progress thread sends and receives messages while the node computes. It is the agent of the group's transport, and
 * serves all mixers of the group that need it. It decides which of the two contexts may use the transport and the inbox:
 * a step takes them from the thread, and gives the thread work at its end. A mixer that takes them waits for the end of
 * its own work; that of others stops at the next chunk, and goes on when the node is done (sgp_group_give). */
#ifndef SGP_MIXING_PROGRESS_THREAD_H
#define SGP_MIXING_PROGRESS_THREAD_H

#include "base/logging.h"
#include "mixing/mixer_core.h"

/* The state of a mixer's work after a call of it. */
typedef enum sgp_work {
    SGP_WORK_DONE,
    SGP_WORK_UNFINISHED, /* it has to end before the mixer's next step */
    SGP_WORK_WAITS,      /* for messages, and may stop at any time */
} sgp_work_t;

/* Does what can be done now; never blocks. *left: set where it returns SGP_OK. */
typedef sgp_status_t (*sgp_work_fn)(sgp_mixer_t *mixer, sgp_work_t *left);

typedef struct sgp_progress_thread sgp_progress_thread_t;

/* One mixer's share of the thread. Fields are private. */
struct sgp_progress {
    sgp_mixer_t *mixer;
    sgp_progress_thread_t *thread;
    sgp_progress_t *next; /* of the thread's; changed while the node has the transport */
    void (*serve)(void *mixer);
    bool alone;
    /* Under the transport's lock: */
    sgp_work_fn work;
    bool active; /* it has work */
    bool wanted; /* its node waits for the end of the work */
    bool ends;   /* and gives up what has not begun */
    sgp_work_t left;
    sgp_status_t status;    /* the first error of work */
    char why[SGP_LOG_LINE]; /* its text */
};

/* Makes mixer->progress, idle, and the thread where the group has none; fine if the mixer has it already. alone: other nodes wait
 * for its work at any time. SGP_ERR_UNSUPPORTED: two mixers, one of which works alone.
 * SGP_ERR_NO_MEMORY. On an error nothing has changed. */
sgp_status_t sgp_progress_start(sgp_mixer_t *mixer, bool alone);

/* Sets the work of an idle mixer; NULL: none. serve: its substitute while the node itself is in a collective call;
 * NULL: none. alone: as above. */
void sgp_progress_assign(sgp_mixer_t *mixer, sgp_work_fn work, void (*serve)(void *mixer),
                         bool alone);

/* Ends the mixer's work, and the thread with the last mixer. Fine where there is none. The node has the transport then:
 * sgp_group_give follows. */
void sgp_progress_stop(sgp_mixer_t *mixer);

/* Gives the thread this mixer's work, and the transport. */
void sgp_progress_give(sgp_progress_t *progress);

/* Takes the transport back, asleep until the mixer's work has ended. The errors of work; SGP_ERR_TIMEOUT. */
sgp_status_t sgp_progress_take(sgp_progress_t *progress, uint64_t deadline);

/* sgp_transport_pause of the node while the thread works, and what it waits for, for the flight recorder. */
sgp_status_t sgp_progress_pause(sgp_mixer_t *mixer, sgp_flight_what_t what, int peer,
                                uint64_t deadline);

/* For sgp_group_take: a mixer with work takes the transport by sgp_progress_take. NULL for all others. */
const void *sgp_progress_owner(const sgp_mixer_t *mixer);

/* For the node, with the transport's lock held: whether the thread has the transport; the first error of work, whose
 * text becomes the last error of the caller. */
bool sgp_progress_holds(const sgp_progress_t *progress);
sgp_status_t sgp_progress_status(const sgp_progress_t *progress);

/* For serve: keeps an error for the next step. */
void sgp_progress_fail(sgp_progress_t *progress, sgp_status_t status);

/* For work: whether the node wants the transport before this work ends; and whether what has not begun need not begin. */
bool sgp_progress_recalled(sgp_progress_t *progress);
bool sgp_progress_must_end(sgp_progress_t *progress);

#endif
