/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a run writes into its directory, and when: config.json and the beginnings of
 * metrics.jsonl, TensorBoard's files and the trace before the first step; model.safetensors and
 * summary.json after the last. Without an output nothing is written. */
#ifndef SGP_RUN_RUN_OUTPUT_H
#define SGP_RUN_RUN_OUTPUT_H

#include "run/run_state.h"

/* Begins the files, on the first node, and the recording of a trace. A resumed run keeps the metrics of
 * finished epochs. SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t run_output_begin(run_t *run);

/* The lost node that wrote the files has left that to this one. epochs: finished before the one that is written next. As
 * run_output_begin. */
sgp_status_t run_output_take_over(run_t *run, uint64_t epochs);

/* The same for a newcomer, which writes no files but a copy of config.json: as run_output_copy_config. */
sgp_status_t run_output_join(run_t *run);

/* Gathers the trace into its file, if there is one. As run_trace_gather. */
sgp_status_t run_output_trace(run_t *run);

/* Writes config.json on a machine that does not see the first node's, so that the run can be continued
 * there. Called after the first node's run_output_begin. SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t run_output_copy_config(const run_t *run);

/* Writes the averaged model and the summary, on the first node. SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t run_output_finish(const run_t *run, const train_summary_t *summary);

/* Writes the summary of a run that ended early; for the first node that is left. A failure is logged. */
void run_output_end_early(const run_t *run, const train_summary_t *summary);

#endif
