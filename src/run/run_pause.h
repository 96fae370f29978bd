/* SPDX-License-Identifier: Apache-2.0 */
/* The pause of a part without quorum (docs/membership.md, "Quorum"): a node saves its own state as soon as it waits for the others
 * (run/checkpoint.h: checkpoint_write_alone), and says so. If its part goes on, or the others have gone on without it, the files
 * are removed: they are of a state that the run has left behind. Called by the files of this folder. */
#ifndef SGP_RUN_RUN_PAUSE_H
#define SGP_RUN_RUN_PAUSE_H

#include "run/run_state.h"

/* Before the first step, once the mixer and the halts are there. Takes quorum and pause limit from the options. Not elastic: does
 * nothing. */
void run_pause_init(run_t *run);

/* After a step. Two loads where there is no pause. */
void run_pause_after_step(run_t *run);

/* The run ends early. Where the others go on without this node, what it has saved is removed. */
void run_pause_over(run_t *run);

/* The run ends because a wait was given up: the reason, if that was a pause. false: it was none. text: (room). */
bool run_pause_reason(const run_t *run, char *text, size_t room);

#endif
