/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of an all-reduce step that our own all-reduce and the library's share. For allreduce.c and
 * library_allreduce.c; sends nothing. */
#ifndef SGP_MIXING_ALGORITHMS_ALLREDUCE_STEP_H
#define SGP_MIXING_ALGORITHMS_ALLREDUCE_STEP_H

#include "mixing/local_step.h"
#include "mixing/reduce.h"

/* The context of part and result. */
typedef struct sgp_allreduce_step {
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer; /* NULL: z itself is averaged */
    const float *gradient;      /* (P) */
    bool outer; /* differences to the anchor are averaged, for an outer step (mixing/outer.h) */
    float learning_rate;
    bool applied;             /* a part of the result has changed the vector */
    uint64_t optimizer_steps; /* made before this one, in an elastic group */
} sgp_allreduce_step_t;

/* Two: a fast node sends its part of the next step while a slow one still reads the mean of this one. */
unsigned sgp_allreduce_messages(const sgp_mixer_t *mixer);

/* Decides what is reduced: gradient and buffers; with local steps, after the last of them, z (local SGD); with outer steps
 * A - z and buffers. */
sgp_status_t sgp_allreduce_begin(sgp_mixer_t *mixer, const sgp_local_t *local,
                                 sgp_allreduce_step_t *step);

/* Whether the local update comes before the exchange. */
bool sgp_allreduce_updates_first(const sgp_mixer_t *mixer);

/* For sgp_reduce_t. part: [gradient | buffers], [A - z | buffers], or z. result: a chunk of the mean gradient goes through the optimizer
 * where it lies; the mean of the rest becomes z. */
const float *sgp_allreduce_part(sgp_reduce_t *reduce, size_t offset, size_t count, float *scratch);
void sgp_allreduce_result(sgp_reduce_t *reduce, size_t offset, size_t count, const float *mean);

/* status, or SGP_ERR_NOT_FINITE if an update has made numbers that are not finite. */
sgp_status_t sgp_allreduce_judge(const sgp_mixer_t *mixer, sgp_status_t status);

#endif
