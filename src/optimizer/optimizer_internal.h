/* SPDX-License-Identifier: Apache-2.0 */
/* src/optimizer: the local step of a node, SGD, Adam and AdamW. Users call sgp/optimizer.h; the mixing calls this header, a
 * stretch of the vector at a time, with the copy for the push in the same pass. It knows no message and no other node. */
#ifndef SGP_OPTIMIZER_OPTIMIZER_INTERNAL_H
#define SGP_OPTIMIZER_OPTIMIZER_INTERNAL_H

#include "base/state.h"

#include <sgp/optimizer.h>
#include <stdbool.h>
#include <stdint.h>

/* P. */
size_t sgp_optimizer_count(const sgp_optimizer_t *optimizer);

/* With defaults filled in, and the steps so far. */
const sgp_optimizer_options_t *sgp_optimizer_options(const sgp_optimizer_t *optimizer);
uint64_t sgp_optimizer_steps(const sgp_optimizer_t *optimizer);

/* Call once per step, before its stretches. */
void sgp_optimizer_begin(sgp_optimizer_t *optimizer);

/* Updates elements [offset, offset + count) and, if copy is not NULL, writes the new values there too: the push needs them
 * while they are in the cache, and a second pass over the vector would cost as much as the first. non_temporal: with such
 * stores (base/stream.h). parameters, gradient: pointers to element `offset`; offset + count <= P. Every element once per
 * step. false: a new value is an infinity or a NaN; it is one wherever the gradient is. */
bool sgp_optimizer_apply(sgp_optimizer_t *optimizer, size_t offset, size_t count,
                         float *parameters /* (count) */, const float *gradient /* (count) */,
                         float learning_rate, float *copy /* (count) */, bool non_temporal);

/* Adds the places that a checkpoint must hold, between two steps. An optimizer with the same options and the same contents
 * there continues like this one. */
void sgp_optimizer_state(sgp_optimizer_t *optimizer, sgp_state_t *state);

#endif
