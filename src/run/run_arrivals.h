/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that join the running run (docs/membership.md, "Joining"). The group and the mixing take a newcomer in; from its first
 * step on it exchanges messages. In that step it has no samples. After it all nodes meet: the newcomer gets what the others
 * have alike (run/handover.h), and from then on it is a node of the run like any other, on all nodes after the same step.
 *
 * The nodes know by the view (group/membership.h) after which step: that of the JOIN notice, and each one after it until the
 * newcomer is there, or one of them knows that it has ended and tells the others in a meeting. There is no other limit: a newcomer
 * on a busy machine may come many steps late, since members that make local steps or that answer "not sent" do not wait for
 * it. Called by the files of this folder, between two steps. */
#ifndef SGP_RUN_RUN_ARRIVALS_H
#define SGP_RUN_RUN_ARRIVALS_H

#include "run/run_state.h"

/* The group answers newcomers from now on, if it has places for them. Call it when the mixer is made. The errors of
 * invitation_make and sgp_group_accept; SGP_ERR_NO_MEMORY. fini accepts zeros. */
sgp_status_t arrivals_init(run_t *run);
void arrivals_fini(run_t *run);

/* Of a member, after each step: meets newcomers, if any have come. Without a change of the view one atomic load. The errors of
 * sgp_group_gather, handover_save and run_data_admit. */
sgp_status_t arrivals_meet(run_t *run);

/* Of a newcomer: fills its optimizer from the snapshot of its sponsor, before the mixer is made. *epoch: of the run, from 0. The
 * errors of sgp_group_fetch; SGP_ERR_FORMAT. */
sgp_status_t arrivals_fetch(run_t *run, uint64_t *epoch);

/* Of a newcomer, once its mixer is made: its first step, and the meeting. The errors of sgp_mixer_step, of arrivals_meet and of
 * handover_load. */
sgp_status_t arrivals_enter(run_t *run);

#endif
