/* SPDX-License-Identifier: Apache-2.0 */
/* A node of several processes: its workers average their gradients exactly and mix with other nodes as one node.
 *
 * Worker m of M owns segment m of the vector, and a step has three parts:
 *   reduce   the workers add up their gradients; worker m gets the mean of segment m
 *   mix      worker m takes the local step and exchanges its segment with worker m of other nodes
 *   share    the workers send each other their segments: all have the same z again
 * So a link carries 1/M of the vector, and every number is updated and mixed once per node. */
#ifndef SGP_MIXING_WORKERS_H
#define SGP_MIXING_WORKERS_H

#include "mixing/local_step.h"

/* init: mixer->workers.group and the segment are set; with a NULL group both do nothing. SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_workers_init(sgp_mixer_t *mixer);
void sgp_workers_fini(sgp_mixer_t *mixer);

/* For nodes of several processes. All workers of a node make the calls below in the same order. They block, with the
 * errors of sgp_mixer_step. */

/* From gradients of the whole vector to the mean gradient of this worker's segment, which becomes local->gradient; the
 * buffers of z become their mean. Without an optimizer z itself does. */
sgp_status_t sgp_workers_reduce(sgp_mixer_t *mixer, sgp_local_t *local);

/* Each worker sends its segment of z to the others: all have the same z. */
sgp_status_t sgp_workers_share(sgp_mixer_t *mixer);

/* The same for the segment in mixer->workers.mine. whole: (P + S) or NULL: not wanted. */
sgp_status_t sgp_workers_share_mine(sgp_mixer_t *mixer, float *whole);

/* The sum of each number over the workers, in order of rank: the same bits on all. */
sgp_status_t sgp_workers_sum(sgp_mixer_t *mixer, double *values /* (count) */, int count);

#endif
