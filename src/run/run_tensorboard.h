/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of a run as event files for TensorBoard (`tensorboard --logdir RUN/tensorboard`): one
 * sub-run per node, tensorboard/node-0, node-1, ..., and tensorboard/all with the means over the
 * nodes; TensorBoard draws them on top of each other. Where a node has several workers each has a
 * sub-run: tensorboard/node-0-worker-0, ...
 *
 * The files grow as metrics.jsonl does. A resumed run begins new files beside the
 * old ones, and TensorBoard joins them. Values are by step of the run:
 *   train/loss  train/lr  time/step_ms  time/gradient_ms  time/wait_ms  mixing/weight
 *   mixing/consensus_distance                          of each line of metrics.jsonl
 *   test/loss  test/accuracy  epoch/train_loss         at the end of an epoch, and of all nodes
 *   test/average_model_accuracy  epoch/consensus_distance
 * Numbers that do not exist are left out. */
#ifndef SGP_RUN_RUN_TENSORBOARD_H
#define SGP_RUN_RUN_TENSORBOARD_H

#include "files/event_file.h"
#include "run/metrics.h"

#define RUN_TENSORBOARD_DIRECTORY "tensorboard"

/* Embedded; fields are private. */
typedef struct run_tensorboard {
    int workers;                /* of a node */
    const char *output;         /* the run's directory, borrowed */
    char file[EVENT_FILE_NAME]; /* the common name of all files */
    double began; /* of the lines of this epoch that were written during it; 0: none were */
} run_tensorboard_t;

/* Makes the directories and begins the files of `size` processes, `workers` of them for each node.
 * step: steps in finished epochs; values of later steps in older files are void. output: borrowed
 * until the last write. SGP_ERR_IO, logged; there is nothing to finish. */
sgp_status_t run_tensorboard_begin(run_tensorboard_t *board, const char *output, int size,
                                   int workers, uint64_t step);

/* Appends lines of an epoch under way, those from lines->first on. began: when second 0 of the training would have been, as
 * pacing_wall_time; the first of an epoch counts for all its lines, so that times follow each other. SGP_ERR_IO,
 * SGP_ERR_NO_MEMORY, logged. */
sgp_status_t run_tensorboard_write_lines(run_tensorboard_t *board, const metrics_lines_t *lines,
                                         double began);

/* Appends the end of an epoch, of the nodes that are there, after the lines from lines->first on. nodes: (lines->size). ended: the time of its last step, as pacing_wall_time.
 * SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t run_tensorboard_write(run_tensorboard_t *board, const metrics_lines_t *lines,
                                   const metrics_epoch_t *epoch, const metrics_node_t *nodes,
                                   double ended);

#endif
