/* SPDX-License-Identifier: Apache-2.0 */
/* The files that grow while an epoch runs (--metrics-seconds S). Called by the steps and the end of a run.
 *
 * Every S seconds a process hands a copy of its lines to a thread of its own, between two steps: it takes a lock that the
 * thread never holds while it works, and waits for nothing. The thread appends them to metrics-R.jsonl (run/own_lines.h). That
 * of the process that writes the run's files then reads those of the others, and appends to metrics.jsonl and TensorBoard's
 * files each line that all processes have made, in the order that the file has without this. No message and no collective
 * call is needed, and every file is appended to by one process.
 *
 * What this means for a user:
 *  - metrics.jsonl is at any time a beginning of the file that it becomes, S seconds behind the slowest node; only the last
 *    line may be incomplete, where a process was killed in the middle of a write. Where nodes are lost it also has the lines
 *    that they made before; where one joins, it grows again at the end of that epoch.
 *  - If the writing process is lost, the next one continues metrics.jsonl at the end of the epoch, when all that are left
 *    agree who that is. The processes' own files grow on, and reports read them.
 *  - Nodes that do not share the directory do not see each other's files. Each has its own one; metrics.jsonl, on the machine
 *    of the writing process, grows at the ends of epochs.
 *  - A resumed run drops the lines of the unfinished epoch and writes them again from the checkpoint: none twice, none lost.
 *  - metrics-R.jsonl begins anew in each epoch, and a finished run has none. */
#ifndef SGP_RUN_RUN_LIVE_H
#define SGP_RUN_RUN_LIVE_H

#include "run/run_state.h"

/* Before the first step, or that of a newcomer. A failure is logged, and then files grow at the ends of epochs only. */
void run_live_start(run_t *run);

/* Counts a step: sums, no lock. */
void run_live_add(run_t *run, const metrics_step_t *step);

/* Between two steps, when this node is known to be one of the run: hands lines over if it is time. epoch: from 0. */
void run_live_after_step(run_t *run, uint64_t epoch);

/* The epoch has no further steps; its end may take long. */
void run_live_after_steps(run_t *run, uint64_t epoch);

/* Of the writing process: the thread touches no file until the next step. Waits until it has written what it has begun.
 * Returns the lines of that epoch, from 1, that metrics.jsonl has. */
int run_live_settle(run_t *run, int epoch);

/* The thread ends, and this process's own file is complete; where no epoch is under way it is removed. status: of the run.
 * Does nothing without run_live_start. */
void run_live_stop(run_t *run, uint64_t epoch, sgp_status_t status);

#endif
