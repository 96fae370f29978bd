/* SPDX-License-Identifier: Apache-2.0 */
/* How the nodes of a run come to a halt together, by notices (group/notice.h) and without a master.
 *
 * An appointment: some node wants all of them between the same two steps, to write a checkpoint and
 * go on, or to write one and end. Each node promises, as soon as it hears of it and also while it
 * waits for a message, not to begin step p before it has the promises of all; the largest p of all
 * is where they halt. Nobody has begun that step, and everybody who is short of it goes on until
 * there: nobody waits for a message of a node that halts.
 *
 * An ending: a node that cannot go on says so, and why, to all; their waits end with SGP_ERR_ENDED,
 * they tell their own ending, and everybody knows the same facts about the end. */
#ifndef SGP_RUN_HALT_H
#define SGP_RUN_HALT_H

#include "group/notice.h"
#include "run/train.h"

#include <pthread.h>

/* How long a node that was told to end waits for the others to come to a halt; and how long all may
 * wait for one that is behind, or they do not halt to save. */
#define HALT_PATIENCE_SECONDS 30
#define HALT_BEHIND_SECONDS   10

/* Where a number was not finite. */
typedef enum train_cause {
    TRAIN_NO_CAUSE,
    TRAIN_LOSS,
    TRAIN_GRADIENT,
    TRAIN_PARAMETERS
} train_cause_t;

/* What a node promises. */
typedef struct halt_promise {
    uint64_t step;  /* it begins only once it has the promises of all; steps count from 0 */
    double seconds; /* a step takes on this node */
    int32_t signal; /* the run is to end because of it; 0: a checkpoint, and on */
    int32_t unused;
} halt_promise_t;

/* What a node ended with. */
typedef struct halt_ending {
    int32_t status; /* sgp_status_t */
    int32_t cause;  /* train_cause_t, with SGP_ERR_NOT_FINITE */
    uint64_t step;  /* steps that it had done */
    double lr;      /* of the step after them */
    double weight;  /* push-sum weight */
} halt_ending_t;

/* One watch for each group that the node waits in. */
typedef struct halt_watch {
    struct halt *halt;
    sgp_group_t *group; /* NULL: unused */
    uint64_t seen; /* notices that came while looking; nothing is looked for without new ones */
} halt_watch_t;

/* The agent of a transport runs the watch as well, so everything below belongs to the lock. */
typedef struct halt {
    pthread_mutex_t lock;
    sgp_group_t *all;
    halt_watch_t watches[3]; /* of the groups all, nodes, workers; the same group only once */
    bool one_group;          /* the agent's group is `all` */
    const volatile sig_atomic_t *stop; /* may be NULL */
    uint64_t stopped_ns;               /* when *stop was first seen; 0: not yet */
    uint64_t due_ns; /* this node wants a checkpoint then; UINT64_MAX: it does not */

    halt_promise_t next; /* what this node would promise now */
    bool promised, told, agreed;
    sgp_notice_t notice; /* with the promise */
    uint64_t step;       /* agreed: where they halt */
    int signal;          /* agreed: 0: a checkpoint, and on */
    bool too_far;        /* agreed: some node is too far behind to wait for; nobody halts to save */
    bool again;          /* notices that came earlier belong to the appointment that begins now */
    bool ended;          /* another node has */
} halt_t;

/* Sets the watches; fini takes them away. due_ns: see halt_due. */
void halt_init(halt_t *halt, const train_groups_t *groups, const volatile sig_atomic_t *stop);
void halt_fini(halt_t *halt);

/* From when on (of clock_now_ns) this node wants a checkpoint. */
void halt_due(halt_t *halt, uint64_t ns);

/* Before step `step`, whatever it is (there may be none): waits, asleep, if a promise of this node
 * says so. *here: the nodes halt here; do what halt->signal says, then call halt_over. seconds: that a
 * step takes here. SGP_ERR_ENDED, and the errors of a wait; SGP_ERR_INTERRUPTED: *stop is set, and not
 * all nodes have promised within HALT_PATIENCE_SECONDS. */
sgp_status_t halt_before_step(halt_t *halt, uint64_t step, double seconds, bool *here);

/* In the step, or behind the last one of an epoch: step `step` is the next one. */
void halt_next_step(halt_t *halt, uint64_t step);

/* The appointment has been kept, or has come to nothing. */
void halt_over(halt_t *halt);

/* Tells everybody how this node ended and waits for all the others' endings, HALT_PATIENCE_SECONDS at
 * most. No agent is at work. endings: (size), status SGP_ERR_PEER_LOST for those that did not tell. */
void halt_end(halt_t *halt, const halt_ending_t *mine, halt_ending_t *endings);

#endif
