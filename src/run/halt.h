/* SPDX-License-Identifier: Apache-2.0 */
/* Stops all nodes of a run together, by notices (group/notice.h) and without a master.
 *
 * A halt: all nodes stop between the same two steps, to write a checkpoint and go on, or to write
 * one and end. A node that wants a halt sends all others a promise not to begin step p, its next,
 * before it has the promises of all. A node that receives a promise sends its own, also while it
 * waits for a message inside a step. The nodes halt before the largest p of all: no node has begun
 * that step, and a node that has not reached it goes on until it does, so no node waits for a
 * message of a node that has halted.
 *
 * In a group that goes on without lost nodes, a node may be lost when some of the others have its
 * promise and some have not. So they do not count promises, they agree on them (group/background.h):
 * all that are left have the promises of the same nodes, perhaps also of one that is lost by then,
 * and so the same largest p. None of them waits for the lost one.
 *
 * A node that is told to leave wants a halt as well: after it that node goes, with all that it has
 * sent delivered, and the others go on without it. If all nodes want to leave, as when a batch
 * system asks them, or too few would be left, the run ends instead. A node whose others do not come
 * to a halt in time leaves alone.
 *
 * An ending: the error that ends a node, which it sends to all others. Their waits then fail with
 * SGP_ERR_ENDED, they send their own endings, and every node knows the same facts about the end. */
#ifndef SGP_RUN_HALT_H
#define SGP_RUN_HALT_H

#include "group/background.h"
#include "group/notice.h"
#include "run/train_types.h"

#include <pthread.h>

/* The time that a node with a signal waits for the others to halt, unless halt_set_patience says otherwise; and the time
 * that all nodes may wait for a slower one, beyond which they do not halt for a checkpoint, unless it is behind by
 * HALT_BEHIND_STEPS steps at most. */
#define HALT_PATIENCE_SECONDS 30
#define HALT_BEHIND_SECONDS   10
#define HALT_BEHIND_STEPS     2

/* A node that is told to leave asks for a halt so much later: a batch system tells all nodes, one after the other, and they
 * are to end together. */
#define HALT_GATHER_SECONDS 0.5

/* Of its time a leaving node waits so long for a halt and a checkpoint, and the rest to deliver what it has sent. */
#define HALT_SHARE_OF_GRACE 0.75

/* A node that only wants the samples to be divided anew promises a step that is so far ahead: by then the nodes have agreed, and
 * none waits. halt_before_step says `here` to each of them as soon as it knows the result, at the latest before the step that it
 * has promised, and so before halt_t.step. */
#define HALT_STEPS_AHEAD 8

/* In place of a signal: too few nodes are left. */
#define HALT_TOO_FEW (-1)

/* Of a node. */
typedef enum halt_wish {
    HALT_NOTHING, /* it was asked by others */
    HALT_TO_SAVE, /* and to end, if there is a signal */
    HALT_TO_DIVIDE
} halt_wish_t;

/* As it travels. */
typedef struct halt_promise {
    uint64_t step;  /* begun only after the promises of all have arrived; steps count from 0 */
    double seconds; /* that a step takes on this node */
    int32_t signal; /* the run ends because of it; 0: it goes on after a checkpoint */
    int16_t leaves; /* the signal for which this node leaves the run; 0: it stays */
    int16_t wants;  /* halt_wish_t */
} halt_promise_t;

/* As it travels. */
typedef struct halt_ending {
    int32_t status; /* sgp_status_t */
    int32_t cause;  /* run_cause_t, with SGP_ERR_NOT_FINITE */
    uint64_t step;  /* steps done */
    double lr;      /* of the step after them */
    double weight;  /* push-sum weight */
} halt_ending_t;

/* One watch for each group that the node waits in. */
typedef struct halt_watch {
    struct halt *halt;
    sgp_group_t *group; /* NULL: unused */
    uint64_t seen;      /* notices that had arrived at the last look; the next waits for new ones */
} halt_watch_t;

/* How a node leaves, and what the others need. */
typedef struct halt_leaving {
    const volatile sig_atomic_t
        *leave;     /* the number of the signal that asks for it, borrowed; NULL: never */
    double seconds; /* that it may take */
    double gather;  /* seconds after which it asks for a halt */
    int workers;    /* of a node, consecutive ranks, which leave together; > 0 */
    int least;      /* nodes; with fewer the run ends */
} halt_leaving_t;

/* Embedded; fields are private except step, signal, too_far and saves. Everything is under the lock, because the
 * agent of a transport calls the watch as well. */
typedef struct halt {
    pthread_mutex_t lock;
    sgp_group_t *all;
    halt_watch_t watches[3];           /* of the groups all, nodes, workers; each group only once */
    bool one_group;                    /* the agent uses the group `all` */
    const volatile sig_atomic_t *stop; /* may be NULL */
    uint64_t stopped_ns;               /* when *stop was first seen; 0: not yet */
    uint64_t patience_ns;
    uint64_t due_ns; /* from then on this node wants a checkpoint; UINT64_MAX: never */

    halt_leaving_t leaving;
    uint64_t asked_ns; /* when *leaving.leave was first seen; 0: not yet */
    bool too_few;      /* this node wants to end the run, because too few are left */
    bool divides;      /* it wants the samples to be divided anew */
    bool ends;         /* agreed: the run ends, and no node leaves */
    bool goes;         /* agreed: this node leaves */
    bool alone;        /* this node leaves alone */

    halt_promise_t next;         /* the promise that this node would make now */
    bool promised;               /* it has made its promise */
    bool agreed;                 /* the nodes have agreed on the promises */
    sgp_background_t background; /* carries them */
    uint64_t step;               /* agreed: the nodes halt before it */
    int signal;                  /* agreed: the reason of the run's end, or HALT_TOO_FEW; 0: none */
    bool too_far; /* agreed: some node is too far behind, so the nodes do not halt to save */
    /* Agreed: some node wants a checkpoint or an end, or all that wanted something are gone; else none halts, see
     * HALT_STEPS_AHEAD. */
    bool saves;
    bool paused;                 /* it wants no halt */
    bool ended;                  /* another node has sent its ending */
    void (*waiting)(void *user); /* halt_set_waiting */
    void *waiter;
} halt_t;

/* Sets the watches on the groups' inboxes; fini removes them. stop: a signal's number, borrowed,
 * may be NULL. step: the run's next. The errors of sgp_background_init. fini accepts zeros. */
sgp_status_t halt_init(halt_t *halt, const train_groups_t *groups,
                       const volatile sig_atomic_t *stop, uint64_t step);
void halt_fini(halt_t *halt);

/* ---- newcomers (run/run_arrivals.h) ---- */

/* A meeting with newcomers begins: until halt_go_on this node wants no halt. Returns the halts that it has begun to agree on. */
uint64_t halt_pause(halt_t *halt);

/* All nodes call it between the same two steps: if a halt is under way, it is agreed on and given up; nodes that want one ask
 * again. count: the largest that halt_pause has returned. The errors of a wait. */
sgp_status_t halt_clear(halt_t *halt, uint64_t count);

/* From the next halt on that process takes part: all nodes say so after halt_clear, before any of them calls halt_go_on. */
void halt_admit(halt_t *halt, int rank);

/* The meeting is over. cleared: after halt_clear. */
void halt_go_on(halt_t *halt, bool cleared);

/* Of a newcomer, as halt_init: the others have agreed on `count` halts, and members (places) take part. */
sgp_status_t halt_init_among(halt_t *halt, const train_groups_t *groups,
                             const volatile sig_atomic_t *stop, uint64_t step, uint64_t count,
                             const bool *members);

/* Called in each wait of this node's own thread, about ten times a second; NULL: nothing is. It may not wait for other nodes. */
void halt_set_waiting(halt_t *halt, void (*waiting)(void *user), void *user);

/* Instead of HALT_PATIENCE_SECONDS. */
void halt_set_patience(halt_t *halt, double seconds);

/* Without it no node leaves. The same `workers` and `least` on all nodes. */
void halt_set_leaving(halt_t *halt, const halt_leaving_t *leaving);

/* Too few nodes are left, as far as this one knows: it wants to end the run. */
void halt_too_few(halt_t *halt);

/* Whether this node wants the samples to be divided anew: a node is lost, as far as it knows. */
void halt_divide(halt_t *halt, bool wanted);

/* Between halt_before_step, which has said `here`, and halt_over: whether the promise of that process is among those on which the
 * nodes have agreed. The same on all nodes. */
bool halt_counts(halt_t *halt, int rank);

/* Between halt_before_step, which has said `here`, and halt_over: the signal for which that process leaves, as all nodes
 * know; 0: it stays. */
int halt_leaves(halt_t *halt, int rank);

/* Whether this node leaves without a halt, because the others were too late: SGP_ERR_INTERRUPTED of a wait is no error. */
bool halt_left_alone(halt_t *halt);

/* Of the time in which this node has to leave, nanoseconds that are left. */
uint64_t halt_time_left(halt_t *halt);

/* This node wants a checkpoint from then on, as sgp_clock_now; UINT64_MAX: never. */
void halt_due(halt_t *halt, uint64_t ns);

/* Called before step `step`, even if the run has no such step. Waits, asleep, where this node has
 * promised to. *here: the nodes halt here; the caller does what halt->signal says, then calls
 * halt_over. seconds: that a step takes on this node. SGP_ERR_ENDED: another node has ended.
 * SGP_ERR_INTERRUPTED: *stop is set, and not all nodes have promised within HALT_PATIENCE_SECONDS;
 * or halt_left_alone.
 * The errors of a wait. */
sgp_status_t halt_before_step(halt_t *halt, uint64_t step, double seconds, bool *here);

/* Outside of a step: `step` is the next one. */
void halt_next_step(halt_t *halt, uint64_t step);

/* The halt is over, or was given up because a node is too far behind. */
void halt_over(halt_t *halt);

/* Sends all nodes the ending of this one and waits for theirs, HALT_PATIENCE_SECONDS at most. No
 * agent is running. endings: (size); status SGP_ERR_PEER_LOST for nodes whose ending did not
 * arrive. Does not wait for nodes without which the others have gone on. */
void halt_exchange_endings(halt_t *halt, const halt_ending_t *mine, halt_ending_t *endings);

#endif
