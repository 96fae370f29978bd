/* SPDX-License-Identifier: Apache-2.0 */
/* Which steps of a run make up which epoch, and how far each step is in the samples: arithmetic alone.
 *
 * A step takes as many samples as all nodes together have in a batch. A run may be continued by another number of nodes in
 * the middle of an epoch: they take the rest of its samples, in steps of another size, and the steps go on counting. So
 * the epochs of a run may have different numbers of steps; only the present epoch and later ones are known here. Called
 * by the run, its checkpoints and its files. */
#ifndef SGP_RUN_EPOCHS_H
#define SGP_RUN_EPOCHS_H

#include <stdint.h>

/* A plain value; pure functions of it. Epochs count from 0. */
typedef struct epochs {
    uint64_t count;   /* of the run, > 0 */
    uint64_t samples; /* of an epoch, > 0 */
    uint64_t batch;   /* samples of a step, over all nodes, > 0 */
    uint64_t steps;   /* of an epoch that the present nodes make alone */

    /* The epoch in which the present nodes began: 0 unless their number has changed. */
    uint64_t epoch;    /* count: all were finished */
    uint64_t start;    /* steps of the run before it */
    uint64_t first;    /* steps of it that other nodes have made */
    uint64_t position; /* samples that these have taken, < samples */
} epochs_t;

/* Of a run whose nodes do not change. */
epochs_t epochs_make(uint64_t count, uint64_t samples, uint64_t batch);

/* The same run, continued after `step` steps by nodes that take `batch` samples in a step. */
epochs_t epochs_continue(const epochs_t *epochs, uint64_t step, uint64_t batch);

/* The same after `first` steps of `epoch`, before which the run has made `start`: `position` samples of the epoch are taken,
 * maybe fewer than those that the steps stand for. All of them: the epoch is over. */
epochs_t epochs_divide(const epochs_t *epochs, uint64_t epoch, uint64_t start, uint64_t first,
                       uint64_t position, uint64_t batch);

/* In the following, step and epoch are not before those in which the present nodes began. */

/* Epochs that are finished after `step` steps of the run: also the epoch that the next step is in. */
uint64_t epochs_finished(const epochs_t *epochs, uint64_t step);

/* Steps of the run before `epoch`. */
uint64_t epochs_start(const epochs_t *epochs, uint64_t epoch);

/* Steps of the run before the epoch that the next step after `step` is in. */
uint64_t epochs_start_at(const epochs_t *epochs, uint64_t step);

/* Steps of `epoch`, with those of other nodes. */
uint64_t epochs_length(const epochs_t *epochs, uint64_t epoch);

/* Steps of the whole run. */
uint64_t epochs_total(const epochs_t *epochs);

/* Samples of the present epoch that are taken after `step` steps of the run. */
uint64_t epochs_taken(const epochs_t *epochs, uint64_t step);

/* How far the run is after `step` steps, in steps of the present nodes: `step` itself unless their number has changed,
 * else the steps in which they would have come to the same sample. */
double epochs_even_step(const epochs_t *epochs, uint64_t step);

#endif
