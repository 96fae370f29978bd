/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: the state of a run after a step, as one file for each node, from which the run can
 * be continued (run/checkpoint_folder.h: where the files lie).
 *
 * The file is a safetensors file. The tensors with the model's names are the node's own parameters
 * and batch-norm statistics, as in model.safetensors. Names that begin with "sgp." are the rest:
 * the state of the mixer ("sgp.mixer.weight"), of the optimizer and of the run. "__metadata__" has
 * the label (run/checkpoint_label.h) and a hash of the file.
 *
 * All nodes write after the same step. A checkpoint counts when all of them have: only then older
 * ones are removed, so a run that is killed at any moment leaves a complete one. After the loss of a
 * node the files are those of the N nodes that are left, in the order of rank, and their label says N:
 * a checkpoint of a run of N nodes. */
#ifndef SGP_RUN_CHECKPOINT_H
#define SGP_RUN_CHECKPOINT_H

#include "run/run_state.h"

#define CHECKPOINT_OWN "sgp." /* begins the names of tensors that are not the model's */

enum { CHECKPOINT_ITEM_NAME = 64 };

/* Whether a checkpoint is due after this step, which does not end an epoch. */
bool checkpoint_due(const run_t *run);

/* The same after an epoch end. */
bool checkpoint_due_after_epoch(const run_t *run);

/* The next checkpoint by time is due checkpoint_minutes from now. */
void checkpoint_restart_clock(run_t *run);

/* Writes a checkpoint of the steps done so far; all nodes call it. Its time does not count as
 * training. SGP_ERR_NOT_FINITE: some node's vector is not finite. SGP_ERR_IO: some node could not
 * write, and its log says why; earlier checkpoints are still there. SGP_ERR_INTERRUPTED, and the
 * errors of sgp_mixer_settle. */
sgp_status_t checkpoint_write(run_t *run);

/* Writes the state of this node as the checkpoint of a run of one node into the directory of a run, which exists: for a node that
 * cannot ask the others. It has the node's z, with weight 1; the samples of the steps so far count as taken. Calls no other node,
 * and may be called in the middle of a collective call. The errors of checkpoint_write that concern this node alone. */
sgp_status_t checkpoint_write_alone(run_t *run, const char *directory);

/* Restores the run from the checkpoint of `step` in a run's directory. Called after replica_join
 * and before any step. SGP_ERR_FORMAT: the file is not what this version writes. */
sgp_status_t checkpoint_read(run_t *run, const char *directory, uint64_t step);

/* For resize.c, which fills the same state from several files. Lists it; run->times.count is the number of steps done. */
void checkpoint_state(run_t *run, sgp_state_t *state);

/* The name and type of an item in a file. */
void checkpoint_item_name(const sgp_state_item_t *item, char name[CHECKPOINT_ITEM_NAME]);
safetensors_dtype_t checkpoint_item_dtype(const sgp_state_item_t *item);

/* Files of earlier versions lack it; the value then stays as a new run has it. */
bool checkpoint_may_lack(const sgp_state_item_t *item);

#endif
