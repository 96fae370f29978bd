/* SPDX-License-Identifier: Apache-2.0 */
/* All-reduce after the loss of a node, or with a newcomer, in an elastic group (docs/membership.md, "All-reduce"). A step
 * needs all nodes, so a loss stops all survivors in the step that they are in, at most one apart. They agree on who is there
 * and on the highest step begun, bring z and the optimizer's state to the same values, and go on. Called by allreduce.c.
 *
 * With a newcomer it is the member that has given it its z that stops the others: it has not begun its step, and they end
 * the same step when its report arrives.
 *
 * The highest step cannot have changed anything as long as one node has not begun it, or is a step behind: then it is made
 * again, with the same gradients. Otherwise some chunks of it may have been updated on some nodes: all take the mean, and the
 * step counts as made. */
#ifndef SGP_MIXING_ALGORITHMS_RECOVERY_H
#define SGP_MIXING_ALGORITHMS_RECOVERY_H

#include "mixing/mixer_core.h"

/* The place at which a node comes to know of the loss. */
typedef struct sgp_recovery_place {
    bool begun;    /* its part of the exchange of mixer->round may have left */
    bool applied;  /* a part of the result has changed its vector */
    bool settling; /* between two steps, in a call that all nodes make after the same step */
    uint64_t optimizer_steps; /* that its optimizer had made before the exchange */
    float learning_rate;      /* of the step */
} sgp_recovery_place_t;

typedef enum sgp_recovered {
    SGP_RECOVERED_AGAIN, /* this node's exchange is still to be made */
    SGP_RECOVERED_MADE,  /* it counts as made */
} sgp_recovered_t;

/* All survivors call it: blocks as a collective call. *result: for this node. place->learning_rate becomes that of the others
 * on a node that is new: one mean gradient makes the same step on all nodes only at the same rate. Where a node is settling, it waits until all
 * others are. SGP_ERR_MISMATCH: another node makes another collective call, or recovers another mixer of the group. */
sgp_status_t sgp_recover(sgp_mixer_t *mixer, sgp_recovery_place_t *place, sgp_recovered_t *result);

/* Whether the exchange of this round cannot be made before a recovery: one that takes part is gone, this node has a newcomer,
 * or another node recovers in the same round. */
bool sgp_recovery_is_due(const sgp_mixer_t *mixer);

/* The last of these alone, as far as this node has heard. */
bool sgp_recovery_is_called(const sgp_mixer_t *mixer);

#endif
