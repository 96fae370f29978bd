/* SPDX-License-Identifier: Apache-2.0 */
/* Error feedback of all-reduce: the rounding error of a node's contribution is added to its next one, so that over many
 * steps nothing is lost. For allreduce.c; sends nothing.
 *
 * With gradients that is all: the parameters of all nodes move by the same exchanged mean. Where z itself is averaged (the
 * buffers; everything, if the caller or local steps have changed it) the error is mass: the sums over nodes of z and of
 * the errors are kept, and to settle each node adds its own to its z. */
#ifndef SGP_MIXING_ALGORITHMS_FEEDBACK_H
#define SGP_MIXING_ALGORITHMS_FEEDBACK_H

#include "base/state.h"
#include "mixing/mixer_core.h"

/* All-reduce's ops of these names. Nothing is kept with a lossless encoding. */
sgp_status_t sgp_feedback_create(sgp_mixer_t *mixer);
void sgp_feedback_destroy(sgp_mixer_t *mixer);
sgp_status_t sgp_feedback_settle(sgp_mixer_t *mixer, uint64_t deadline);
void sgp_feedback_state(sgp_mixer_t *mixer, sgp_state_t *state);

/* Before an exchange of gradients, or of z itself. Returns the rounding errors, (length) or NULL. */
float *sgp_feedback_of(sgp_mixer_t *mixer, bool gradients);

#endif
