/* SPDX-License-Identifier: Apache-2.0 */
/* The status of a group: what this node knows of all members for those who look at the run (status/snapshot.h), of itself by
 * its own counters, of the others by their rows (status_gossip.h). Every joined group has one, which is off until this node or another
 * one wants rows; then nothing is allocated, sent or computed for it. Called by src/group/join, which makes it, by the mixing,
 * which hands in its numbers, and by sgp_group_report.
 *
 * No lock here keeps the step path waiting: where the server of the page is copying, a step's numbers are handed in by the
 * next step. */
#ifndef SGP_GROUP_GROUP_STATUS_H
#define SGP_GROUP_GROUP_STATUS_H

#include "group/group_internal.h"
#include "group/status_mixing.h"

/* Gives the group a status. serves: SGP_STATUS of the environment switches it on, and this node can serve its page
 * (status_serving.h). SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_group_status_attach(sgp_group_t *group, bool serves);

/* The whole's server shows what the part knows from now on: of the nodes of a group that was split. Reports to the whole count
 * for the part, which is left first. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_group_status_hand_over(sgp_group_t *whole, sgp_group_t *part);

/* This node wants rows of all members from now on. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_group_status_want(sgp_group_status_t *status);

/* ---- for the mixing ---- */

/* One atomic load. status: NULL is fine. */
bool sgp_status_is_on(const sgp_group_status_t *status);

/* To be filled in, until close. The first mixer that opens it has it until it gives it up: NULL for all others, if the
 * status is off, and, unless `waits`, while a reader copies. */
sgp_status_mixing_t *sgp_status_open(sgp_group_status_t *status, const void *mixer, bool waits);
void sgp_status_close(sgp_group_status_t *status);
void sgp_status_give_up(sgp_group_status_t *status, const void *mixer);

/* The consensus distance of an average, after so many steps. status: NULL is fine. */
void sgp_status_note_distance(sgp_group_status_t *status, double distance, uint64_t step);

#endif
