/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a run writes into its directory, and when: config.json and the beginnings of
 * metrics.jsonl, TensorBoard's files and the trace before the first step; model.safetensors and
 * summary.json after the last. Without an output nothing is written. */
#ifndef SGP_RUN_RUN_OUTPUT_H
#define SGP_RUN_RUN_OUTPUT_H

#include "run/run_state.h"

/* Begins the files, on node 0, and the recording of a trace. A resumed run keeps the metrics of
 * finished epochs. SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t run_output_begin(run_t *run);

/* Writes config.json on a machine that does not see node 0's, so that the run can be continued
 * there. Called after node 0's run_output_begin. SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t run_output_copy_config(const run_t *run);

/* Writes the averaged model and the summary, on node 0. SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t run_output_finish(const run_t *run, const train_summary_t *summary);

/* Writes the summary of a run that ended early, on node 0. A failure is logged. */
void run_output_end_early(const run_t *run, const train_summary_t *summary);

#endif
