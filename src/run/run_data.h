/* SPDX-License-Identifier: Apache-2.0 */
/* The division of the samples in a run that goes on without lost nodes (docs/membership.md, "Data"): tells the feed which
 * nodes are gone and which steps this one has passed over, agrees with the others on the samples that nobody has taken, and
 * makes the place in the epochs, the schedule of the learning rate and the memory of a step follow. Called by the files of
 * this folder. In a run that stops at a loss samples are divided anew only if it goes on from a checkpoint in such an epoch.
 *
 * A loss divides the samples anew at the step after which the nodes agree on it: at a checkpoint, at the end of an epoch's
 * steps, at its average; or before that from a step on that they agree on in the background (run/halt.h). Without a loss and
 * without steps passed over nothing here changes a bit of the run. */
#ifndef SGP_RUN_RUN_DATA_H
#define SGP_RUN_RUN_DATA_H

#include "files/tensor_file.h"
#include "run/run_state.h"

/* Before any epoch. */
void run_data_init(run_t *run);
void run_data_fini(run_t *run);

/* Begins the data of `epoch`, from 0, of which `done` steps are made. The errors of feed_begin_epoch and feed_restore. */
sgp_status_t run_data_begin(run_t *run, uint64_t epoch, uint64_t done);

/* The number of the next step in its epoch, from 0. */
uint64_t run_data_step(const run_t *run);

/* Whether the next step is in the middle of an epoch whose samples were divided anew: a checkpoint then holds the segments. */
bool run_data_is_divided(const run_t *run);

/* Between two steps: this node has passed over the next `count` steps, and returns their samples. The run's step moves behind
 * them. The errors of feed_pass_over. */
sgp_status_t run_data_pass_over(run_t *run, uint64_t count);

/* After a call of run_losses_agree between two steps: samples, epochs and learning rate follow the losses. The errors of
 * feed_tell; SGP_ERR_NO_MEMORY. */
sgp_status_t run_data_follow(run_t *run);

/* After a step in which a loss may have been noted: whether this node wants the samples to be divided anew without the lost node
 * (halt_divide). One comparison where there is nothing new. */
void run_data_watch(run_t *run);

/* The nodes have agreed on who is there, and know it before any of them begins `step` of the run: these will divide the samples from a
 * step on that follows it, the same on all nodes. false: too many such divisions are still to be made; ask again later. */
bool run_data_plan(run_t *run, uint64_t step);

/* Before a step: makes the divisions that are due. Calls no other node. One comparison where there is none. The errors of
 * run_data_follow. */
sgp_status_t run_data_divide(run_t *run);

/* All nodes know between the same two steps that these processes have joined the run, and run_losses_arrive was called for each:
 * the same follow. The errors of run_data_follow. */
sgp_status_t run_data_admit(run_t *run, const int *ranks, int count);

/* Of such a newcomer, before run_data_admit and after handover_load: begins its data in the middle of the epoch. Until it is
 * admitted it has no samples. The errors of feed_restore; SGP_ERR_NO_MEMORY. */
sgp_status_t run_data_arrive(run_t *run);

/* For a checkpoint, before any file is written: all nodes agree on the losses, and on the samples that were returned so far.
 * All call it between the same two steps; blocks as sgp_group_gather. The errors of run_losses_agree, sgp_group_gather,
 * feed_merge and feed_make_up. */
sgp_status_t run_data_settle(run_t *run);

/* After the steps of an epoch that feed_steps knows of: the same, and *more: nobody has taken some of the samples, and the
 * nodes that are left make further steps with them, those that feed_steps now has more. */
sgp_status_t run_data_end(run_t *run, bool *more);

/* ---- checkpoints ---- */

/* What a checkpoint in a divided epoch holds of the data, as little-endian words: (*words), released with free. NULL without
 * memory, logged. */
uint64_t *run_data_save(const run_t *run, size_t *words);

/* Reads it from a file that may lack it, for run_data_begin. problem: filled on failure. SGP_ERR_FORMAT, SGP_ERR_NO_MEMORY,
 * SGP_ERR_IO. */
sgp_status_t run_data_load(run_t *run, const tensor_file_t *file,
                           char problem[TENSOR_FILE_PROBLEM]);

/* After the run's state was read from a checkpoint: the learning rate and the random crops of this node follow it, and the
 * epoch of `step`, which is the run's, begins. SGP_ERR_FORMAT: no run writes such a state; the errors of run_data_begin. */
sgp_status_t run_data_restored(run_t *run);

#endif
