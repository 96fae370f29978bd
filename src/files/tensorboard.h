/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of a run as event files for TensorBoard (`tensorboard --logdir RUN/tensorboard`): one
 * sub-run per node, tensorboard/node-0, node-1, ..., and tensorboard/all with the means over the
 * nodes; TensorBoard draws them on top of each other.
 *
 * Each file is events.out.tfevents.TIME.HOST.PID and grows by whole epochs, as metrics.jsonl does. A
 * resumed run begins new files beside the old ones, and TensorBoard joins them. Values are by step of
 * the run:
 *   train/loss  train/lr  time/step_ms  time/gradient_ms  time/wait_ms  mixing/weight
 *   mixing/consensus_distance                          of each line of metrics.jsonl
 *   test/loss  test/accuracy  epoch/train_loss         at the end of an epoch, and of all nodes
 *   test/average_model_accuracy  epoch/consensus_distance
 * Numbers that do not exist are left out. */
#ifndef SGP_FILES_TENSORBOARD_H
#define SGP_FILES_TENSORBOARD_H

#include "run/metrics.h"

#define TENSORBOARD_DIRECTORY "tensorboard"
#define TENSORBOARD_PREFIX    "events.out.tfevents." /* begins the names of its files */

/* Embedded; fields are private. */
typedef struct tensorboard {
    int workers;        /* of a node */
    const char *output; /* the run's directory, borrowed */
    char file[160];     /* the files' common name */
} tensorboard_t;

/* Makes the directories and begins the files, of `size` nodes; or of as many processes that are
 * `workers` of a node each, in node-0-worker-0, ... step: how many are in finished epochs;
 * what older files say of later ones is void. output: borrowed until the last write. SGP_ERR_IO; there
 * is nothing to finish. */
sgp_status_t tensorboard_begin(tensorboard_t *tensorboard, const char *output, int size,
                               int workers, uint64_t step);

/* Appends an epoch. nodes: (lines->size). ended: when its last step did, of clock_date.
 * SGP_ERR_IO, SGP_ERR_NO_MEMORY. */
sgp_status_t tensorboard_write(const tensorboard_t *tensorboard, const metrics_lines_t *lines,
                               const metrics_epoch_t *epoch, const metrics_node_t *nodes,
                               double ended);

#endif
