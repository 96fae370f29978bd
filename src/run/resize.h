/* SPDX-License-Identifier: Apache-2.0 */
/* Goes on with N nodes from a checkpoint that M others have written (docs/guide.md, --resume).
 *
 * Every process reads all files. The nodes begin with one z, the mean of the M weighted by their push-sum weights, and with
 * w = 1; so the sum of w is N, and the mass ledger begins anew. The optimizer's state, the slow momentum and its anchor,
 * and rounding errors that wait for the next message become the mean of the M, in which each counts the same. Sums over
 * nodes, such as the epoch's loss and the counters of messages, keep their total. Times and other figures of a node are
 * those of node (rank mod M).
 *
 * The files were written while no message was under way, so they hold the whole mass: the weights in them add up to M. */
#ifndef SGP_RUN_RESIZE_H
#define SGP_RUN_RESIZE_H

#include "run/run_state.h"

/* Whether the resumed run has another number of nodes than its checkpoint. */
static inline bool resize_happens(const run_t *run) {
    return run->origin.nodes > 0 && run->origin.nodes != run->options->nodes;
}

/* After resume_choose, with the step that it has chosen, > 0: takes over the place in the samples, so that the epochs of
 * the replica are known. */
void resize_place(run_t *run, uint64_t step);

/* In place of checkpoint_read if resize_happens: fills the run from all files of the checkpoint of `step`. Node 0 warns if
 * the weights do not add up. SGP_ERR_FORMAT: a file is not what this version writes. SGP_ERR_IO, SGP_ERR_NO_MEMORY.
 * Logged. */
sgp_status_t resize_read(run_t *run, const char *directory, uint64_t step);

/* On node 0, after resume_metrics: appends to its metrics.jsonl the lines of the part of an epoch that the M nodes have
 * made. The errors of resize_read and metrics_write. */
sgp_status_t resize_write_lines(const run_t *run);

/* Tells the caller of the run. */
void resize_report(const run_t *run);

#endif
