/* SPDX-License-Identifier: Apache-2.0 */
/* The losses of a run that goes on without the lost nodes: each node notes what it sees between two steps, and after a
 * collective call the nodes that are left agree on one list. Called by the files of this folder. */
#ifndef SGP_RUN_RUN_LOSSES_H
#define SGP_RUN_RUN_LOSSES_H

#include "run/train_types.h"

enum { RUN_DIVISIONS = 2 }; /* agreed on, and not made yet */

/* Embedded; fields are private. All zero: no node is ever lost. */
typedef struct run_losses {
    sgp_group_t *group; /* borrowed */
    const train_callbacks_t *callbacks;
    uint32_t known; /* changes of fates that were noted */
    bool *members;  /* (places) nodes of the run, as agreed: none is lost */
    uint32_t *uses; /* (places) times that the place was given to a node */
    bool *
        apart; /* (places) members that have no part in the division of the samples any more; for run_data.c */
    bool *there; /* (RUN_DIVISIONS, places) those that will divide the samples; for run_data.c */
    int noticed; /* losses that this node has noted */
    train_loss_t *noted;  /* (places) by rank; step 0: not noted */
    train_loss_t *agreed; /* (room), of which `count`, in the order in which they were agreed on */
    int count, room;
    int reported;             /* of them, in metrics.jsonl */
    uint64_t met;             /* steps that all had made who took part in the last agreement */
    const sgp_mixer_t *mixer; /* borrowed; NULL: none yet */
    double pause;             /* seconds */
    double quorum;            /* run_losses_set_quorum */
} run_losses_t;

/* For a group of nodes. Both borrowed. SGP_ERR_NO_MEMORY, logged. fini accepts zeros. */
sgp_status_t run_losses_init(run_losses_t *losses, sgp_group_t *group,
                             const train_callbacks_t *callbacks);
void run_losses_fini(run_losses_t *losses);

/* The mixer that knows which steps of the others were pushed, borrowed, and the steps that all have made. */
void run_losses_watch(run_losses_t *losses, const sgp_mixer_t *mixer, uint64_t step);

/* The part of the nodes that has to be there for this one to go on; below 0: it goes on with any. Without a call: half. */
void run_losses_set_quorum(run_losses_t *losses, double quorum);

/* The last step took so many seconds longer than usual, as far as losses that are noted next are concerned. */
void run_losses_pause(run_losses_t *losses, double seconds);

/* Notes new losses, as seen in `step`, and tells the callback. One atomic load if there are none. */
void run_losses_look(run_losses_t *losses, uint64_t step);

/* The same, and whether this node may go on: before it writes anything that the others might write as well. A node that hangs
 * and runs again finds the others gone. The launcher, told by them, may know better; where nobody does, a node goes on only
 * with more than the quorum of the nodes that were there and have not left, or exactly that with the lowest of them. SGP_ERR_PEER_LOST, logged. */
sgp_status_t run_losses_check(run_losses_t *losses, uint64_t step);

/* All nodes know at a halt after step `step` that this process leaves now, for the signal `number`: tells the callback. */
void run_losses_note_left(run_losses_t *losses, int rank, uint64_t step, int number);

/* Processes that this node does not know to be gone. */
int run_losses_left(const run_losses_t *losses);

/* The lowest rank that this node does not know to be gone: for duties that no other node relies on, such as the progress
 * line, and that cannot wait for the next collective call. */
int run_losses_lowest_left(const run_losses_t *losses);

/* Whether all took part in the last collective call that are not agreed to be lost. */
bool run_losses_none_new(const run_losses_t *losses);

/* All nodes know between the same two steps that this process has joined the run (run/run_arrivals.h). */
void run_losses_arrive(run_losses_t *losses, int rank);

/* The nodes that are left agree on the loss of that one, between the same two steps, where they meet newcomers. replaced: one of
 * these has its place. A newcomer attends: it makes the same call, and says nothing. As sgp_group_gather; SGP_ERR_NO_MEMORY. */
sgp_status_t run_losses_agree_on(run_losses_t *losses, int rank, bool replaced, uint64_t step);
sgp_status_t run_losses_attend(run_losses_t *losses);

/* What a newcomer is told of the list: makes room for it. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t run_losses_reserve(run_losses_t *losses, int count);

/* After a collective call, on all nodes that took part in it: agrees on the nodes that are absent since the last time,
 * with further calls if there are any. step: of this node. The errors of run_losses_check and sgp_group_gather. */
sgp_status_t run_losses_agree(run_losses_t *losses, uint64_t step);

#endif
