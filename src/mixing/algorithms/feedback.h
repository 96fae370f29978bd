/* SPDX-License-Identifier: Apache-2.0 */
/* Error feedback of all-reduce: what a node's contribution loses in rounding is added to its next one,
 * so that over many steps nothing is lost.
 *
 * For gradients that is all: the parameters move by what has been exchanged, on all nodes by the same.
 * Where z itself is averaged (the buffers; everything, where the caller or local steps have changed it)
 * the rounding is mass: the sums over nodes of z and of the rounding are kept, and when the nodes meet,
 * each adds its own to its z. */
#ifndef SGP_MIXING_FEEDBACK_H
#define SGP_MIXING_FEEDBACK_H

#include "mixing/mixer_internal.h"

/* All-reduce's ops, beside step and messages. Nothing is kept where nothing is rounded. */
sgp_status_t sgp_feedback_create(sgp_mixer_t *mixer);
void sgp_feedback_destroy(sgp_mixer_t *mixer);
sgp_status_t sgp_feedback_settle(sgp_mixer_t *mixer, uint64_t deadline);
void sgp_feedback_state(sgp_mixer_t *mixer, sgp_state_t *state);

/* Before an exchange: of gradients, or of z itself. Returns the rounding, (length) or NULL. */
float *sgp_feedback_of(sgp_mixer_t *mixer, bool gradients);

#endif
