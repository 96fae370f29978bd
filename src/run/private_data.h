/* SPDX-License-Identifier: Apache-2.0 */
/* The data of nodes that each have files of their own (--private-data): before a run begins the nodes tell each other how many
 * samples they have, and how bright they are. Called by train.c. */
#ifndef SGP_RUN_PRIVATE_DATA_H
#define SGP_RUN_PRIVATE_DATA_H

#include "run/run_state.h"

/* All nodes call it before the first step, after they have agreed on the run. An epoch then has as many steps as that of the node
 * with the most samples, and pixels are normalised by mean and deviation over the samples of all nodes. Blocks as
 * sgp_group_gather. SGP_ERR_MISMATCH: two workers of a node have different data. SGP_ERR_FORMAT: a node tells numbers that no
 * data have. Both logged. The errors of feed_set_length. Does
 * nothing without options->private_data. */
sgp_status_t private_data_meet(run_t *run);

#endif
