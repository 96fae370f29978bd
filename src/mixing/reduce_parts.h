/* SPDX-License-Identifier: Apache-2.0 */
/* An all-reduce in a step in parts: each chunk of the vector leaves for its owner when its last element has been given, an
 * owner's own chunk is added up when all ranks have sent it, and its mean leaves at once, in any order of offset. The bits are
 * those of reduce.h, whose ranks can take part. For all-reduce. */
#ifndef SGP_MIXING_REDUCE_PARTS_H
#define SGP_MIXING_REDUCE_PARTS_H

#include "mixing/part_step.h"

/* Cuts the vector into the chunks of its segments. */
void sgp_reduce_parts_init(sgp_part_step_t *step, const sgp_reducer_t *reducer, size_t size);

/* Begins step->reduce.reduce, filled in, asleep until there is room for its messages. */
sgp_status_t sgp_reduce_parts_begin(sgp_part_step_t *step);

/* A chunk is whole. */
sgp_status_t sgp_reduce_parts_give(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t index);

/* Adds up and takes what has arrived, if anything has since the last call. */
sgp_status_t sgp_reduce_parts_absorb(sgp_part_step_t *step, sgp_mixer_t *mixer);

/* The same until chunks first to last - 1 are done, asleep in between. SGP_ERR_PEER_LOST, not logged: a rank that takes part
 * is gone, in an elastic group. */
sgp_status_t sgp_reduce_parts_await(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t first,
                                    size_t last);

void sgp_reduce_parts_abandon(sgp_part_step_t *step);

/* The same, and nothing of the call is left here. */
void sgp_reduce_parts_give_up(sgp_part_step_t *step);

#endif
