/* SPDX-License-Identifier: Apache-2.0 */
/* All-reduce after the loss of a node, in an elastic group (docs/membership.md, "All-reduce"). A step needs all nodes, so a
 * loss stops all survivors in the step that they are in, at most one apart. They agree on who is left and on the highest
 * step begun, bring z and the optimizer's state to the same values, and go on. Called by allreduce.c.
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
} sgp_recovery_place_t;

typedef enum sgp_recovered {
    SGP_RECOVERED_AGAIN, /* this node's exchange is still to be made */
    SGP_RECOVERED_MADE,  /* it counts as made */
} sgp_recovered_t;

/* All survivors call it: blocks as a collective call. *result: for this node. Where a node is settling, it waits until all
 * others are. SGP_ERR_MISMATCH: another node makes another collective call, or recovers another mixer of the group. */
sgp_status_t sgp_recover(sgp_mixer_t *mixer, const sgp_recovery_place_t *place,
                         sgp_recovered_t *result);

#endif
