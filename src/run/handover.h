/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a run that all its nodes have alike between two steps, as bytes for a newcomer: the step, the place in the
 * samples and how they are divided, the nodes and the losses, the results of the last epoch. What a node has for itself is not
 * in it: the vectors of the mixer and of the optimizer, its times and its lines of the epoch. The protocol is in
 * docs/membership.md, "Joining".
 *
 * A member calls handover_save and a newcomer handover_load, after the same step, in an epoch that has begun. Both have the
 * same version of the program and the same options (run/invitation.h). */
#ifndef SGP_RUN_HANDOVER_H
#define SGP_RUN_HANDOVER_H

#include "run/run_state.h"

/* Sets *bytes (malloc, *count long) only on success. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t handover_save(const run_t *run, void **bytes, size_t *count);

/* Fills the run of a newcomer, whose replica, losses and times are initialised; run_data_arrive then begins its data. bytes may
 * hold anything. SGP_ERR_INVALID, SGP_ERR_MISMATCH, SGP_ERR_FORMAT: no such state, or not of such a run; SGP_ERR_NO_MEMORY;
 * logged. The run is of no use then. */
sgp_status_t handover_load(run_t *run, const void *bytes, size_t count);

#endif
