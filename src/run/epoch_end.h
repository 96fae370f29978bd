/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an epoch: the nodes average their models, evaluate, and exchange their results. */
#ifndef SGP_RUN_EPOCH_END_H
#define SGP_RUN_EPOCH_END_H

#include "run/run_state.h"

/* Averages, evaluates and writes metrics after an epoch, from 0. All nodes call it, and it blocks
 * until all have. Leaves the averaged model in replica.average. SGP_ERR_INTERRUPTED; SGP_ERR_IO and
 * SGP_ERR_NO_MEMORY of any node; the errors of sgp_mixer_average, evaluate and sgp_group_gather. */
sgp_status_t epoch_end_run(run_t *run, uint64_t epoch);

#endif
