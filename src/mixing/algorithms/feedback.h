/* SPDX-License-Identifier: Apache-2.0 */
/* Error feedback of all-reduce: the rounding error of a node's contribution is added to its next one, so that over many
 * steps nothing is lost. For allreduce.c; sends nothing.
 *
 * With gradients that is all: the parameters of all nodes move by the same exchanged mean. Where z itself is averaged (the
 * buffers; everything, if the caller or local steps have changed it) the error is mass: the sums over nodes of z and of
 * the errors are kept, and to settle each node adds its own to its z. With outer steps A - z is averaged: the error of a
 * parameter is a decrease of z that the others have not been told, and to settle each node subtracts it. */
#ifndef SGP_MIXING_ALGORITHMS_FEEDBACK_H
#define SGP_MIXING_ALGORITHMS_FEEDBACK_H

#include "base/state.h"
#include "mixing/mixer_core.h"

/* All-reduce's ops of these names. Nothing is kept with a lossless encoding. */
sgp_status_t sgp_feedback_create(sgp_mixer_t *mixer);
void sgp_feedback_destroy(sgp_mixer_t *mixer);
sgp_status_t sgp_feedback_settle(sgp_mixer_t *mixer, uint64_t deadline);
void sgp_feedback_state(sgp_mixer_t *mixer, sgp_state_t *state);

/* What the errors of the parameters are of; those of the buffers are always of z. */
typedef enum sgp_feedback_kind {
    SGP_FEEDBACK_OF_Z = 0,
    SGP_FEEDBACK_OF_GRADIENTS,
    SGP_FEEDBACK_OF_OUTER_STEPS,
} sgp_feedback_kind_t;

/* Before an exchange. Returns the rounding errors, (length) or NULL. */
float *sgp_feedback_of(sgp_mixer_t *mixer, sgp_feedback_kind_t kind);

#endif
