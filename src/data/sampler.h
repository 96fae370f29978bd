/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the samples of a node in each step.
 *
 * Each epoch has one random permutation of the training set, the same on every node: Fisher and
 * Yates with the random stream (seed, epoch). Step s takes the next size * batch entries of it, and
 * node r takes entries [r * batch, (r + 1) * batch) of those. The last step of an epoch takes what
 * is left, split over the nodes as evenly as possible: the first (left mod size) nodes take one
 * more; a node may get none. A node of m workers takes the samples of a node with an m times larger
 * batch, and splits them over its workers in the same way.
 *
 * So every sample is taken exactly once per epoch over all nodes, every node makes the same number
 * of steps, and the samples of a node are a function of (seed, epoch, step, rank, size, batch,
 * count): the same on every transport, and a resumed run needs no state. */
#ifndef SGP_DATA_SAMPLER_H
#define SGP_DATA_SAMPLER_H

#include <sgp/status.h>
#include <stdint.h>

typedef struct sampler_options {
    uint32_t count; /* samples in the training set; required, > 0 */
    int rank;
    int size;    /* nodes, or processes where nodes have several workers; required, > rank */
    int workers; /* of a node: rank r is worker r mod workers of node r / workers; 0: one */
    int batch;   /* samples per rank and step; required, > 0 */
    uint64_t seed;
} sampler_options_t;

/* Embedded; fields are private. Not thread-safe. */
typedef struct sampler {
    sampler_options_t options;
    uint32_t *permutation; /* (count) of the current epoch */
} sampler_t;

/* Copies options; the first epoch is 0. SGP_ERR_INVALID: an option is out of range; the log
 * names it. SGP_ERR_NO_MEMORY. After an error call no fini. */
sgp_status_t sampler_init(sampler_t *sampler, const sampler_options_t *options);
void sampler_fini(sampler_t *sampler);

/* Steps per epoch: count / (size * batch), rounded up. */
uint64_t sampler_steps(const sampler_t *sampler);

/* Draws the permutation of `epoch`, from 0. Allocates nothing. */
void sampler_begin_epoch(sampler_t *sampler, uint64_t epoch);

/* Writes `batch` indices of samples and returns the number of this node's own in `step` (0 <= step
 * < steps), which come first. The others only fill the batch for batch norm: they are the samples
 * that the node would take if the permutation started over. Allocates nothing. */
int sampler_batch(const sampler_t *sampler, uint64_t step, uint32_t *indices /* (batch) */);

#endif
