/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the samples of a node in each step.
 *
 * Each epoch has one random permutation of the training set, the same on every node: Fisher and
 * Yates with the random stream (seed, epoch). A cursor (data/cursor.h) says which of its positions
 * a process takes in a step, so that every sample is taken exactly once per epoch over all nodes
 * and every node makes the same number of steps. The samples of a node are a function of (seed,
 * epoch, segment, step, rank): the same on every transport, and a resumed run needs no other
 * state. */
#ifndef SGP_DATA_SAMPLER_H
#define SGP_DATA_SAMPLER_H

#include "data/cursor.h"

#include <sgp/status.h>
#include <stdint.h>

typedef struct sampler_options {
    uint64_t count; /* samples in the training set; required, > 0 */
    int rank;
    int size;    /* nodes, or processes where nodes have several workers; required, > rank */
    int workers; /* of a node: rank r is worker r mod workers of node r / workers; 0: one */
    int batch;   /* samples per rank and step; required, > 0 */
    uint64_t seed;
} sampler_options_t;

/* Embedded; fields are private. One thread changes it; any number may ask it in between. */
typedef struct sampler {
    sampler_options_t options;
    cursor_t segment;      /* the one that the steps are in */
    int rank;              /* in it */
    uint64_t *permutation; /* (count) of the current epoch */
} sampler_t;

/* Copies options; the first epoch is 0. SGP_ERR_INVALID: an option is out of range; the log
 * names it. SGP_ERR_NO_MEMORY. After an error call no fini. */
sgp_status_t sampler_init(sampler_t *sampler, const sampler_options_t *options);
void sampler_fini(sampler_t *sampler);

/* Steps of the current epoch; without sampler_set_members count / (size * batch), rounded up. */
uint64_t sampler_steps(const sampler_t *sampler);

/* Draws the permutation of `epoch`, from 0, and begins its first segment, with the members of the
 * one before. Allocates nothing. */
void sampler_begin_epoch(sampler_t *sampler, uint64_t epoch);

/* In an epoch that has begun and has no step yet: others have taken the positions before `position` in the steps before
 * `step`, and the present members take the rest from `step` on. position <= count. */
void sampler_begin_rest(sampler_t *sampler, uint64_t step, uint64_t position);

/* From `step` on, which no process has begun, `size` processes take what is left of the epoch, and
 * this one has `rank` among them. step >= that of the last call in this epoch. SGP_ERR_INVALID: rank
 * and size do not fit each other; nothing changed. */
sgp_status_t sampler_set_members(sampler_t *sampler, uint64_t step, int rank, int size);

/* The positions of the permutation that this process takes in `step` of the current segment. */
cursor_part_t sampler_part(const sampler_t *sampler, uint64_t step);

/* Entry i of the process's batch, 0 <= i < batch. Entries from part.count on only fill the batch
 * for batch norm: they are what the process would take if the permutation started over. */
static inline uint64_t sampler_position(const cursor_part_t *part, int i) {
    return (i < part->count ? part->first : part->after) + (uint64_t)i;
}

/* The sample at a position; behind the last one the permutation starts over. */
static inline uint64_t sampler_at(const sampler_t *sampler, uint64_t position) {
    return sampler->permutation[position % sampler->options.count];
}

/* Writes `batch` indices of samples and returns the number of this node's own in `step`, which come
 * first. Allocates nothing. */
int sampler_batch(const sampler_t *sampler, uint64_t step, uint64_t *indices /* (batch) */);

#endif
