/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_pause.h"

#include "base/constants.h"
#include "files/json.h"
#include "run/checkpoint.h"
#include "run/config.h"
#include "run/run_files.h"

#include <inttypes.h>
#include <stdio.h>

/* A node that is in the middle of a step may come to its end. It may also wait for the message of another one that has paused before
 * that step; then it saves its state as it is. */
#define PATIENCE 1.0 /* seconds */

static sgp_membership_t *membership_of(const run_t *run) {
    return sgp_group_membership(run->group);
}

/* ---- the beginning ---- */

/* What it has saved is in run->pause.folder, if that is not empty. */
static void save(run_t *run) {
    run_pause_t *pause = &run->pause;
    if (!run->options->output || run->step == 0) return;
    sgp_status_t status = run_files_make_pause(run->options->output, run->node, pause->folder);
    if (!status) status = checkpoint_write_alone(run, pause->folder);
    if (!status)
        status = files_json_write(pause->folder, "config.json",
                                  config_json(run->options, &run->replica, run->id, &run->resumed));
    if (status) pause->folder[0] = '\0';
}

static void tell(const run_t *run, const sgp_pause_t *found) {
    train_pause_t told = {.rank = run->rank,
                          .here = found->here,
                          .nodes = found->plan,
                          .step = run->step,
                          .seconds = found->most,
                          .folder = run->pause.folder[0] ? run->pause.folder : NULL};
    if (run->callbacks.paused) run->callbacks.paused(&told, run->callbacks.user);
}

/* ---- the end ---- */

static void forget(run_t *run) {
    run_pause_t *pause = &run->pause;
    if (pause->folder[0]) run_files_remove_pause(run->options->output, run->node);
    pause->begun = false;
    pause->folder[0] = '\0';
}

/* The part has found the others before it has ended. */
static void resume(run_t *run) {
    train_pause_t told = {.rank = run->rank, .step = run->step, .over = true};
    forget(run);
    if (run->callbacks.paused) run->callbacks.paused(&told, run->callbacks.user);
}

/* ---- calls ---- */

static void look(void *user) {
    run_t *run = user;
    sgp_pause_t found;
    bool pauses = sgp_membership_pause(membership_of(run), &found);
    if (run->pause.begun && !pauses) resume(run);
    if (!pauses || run->pause.begun) return;
    if (!found.between && found.seconds < PATIENCE) return;
    run->pause.begun = true;
    save(run);
    tell(run, &found);
}

void run_pause_init(run_t *run) {
    const train_options_t *options = run->options;
    if (!run->goes_on || !membership_of(run)) return;
    double quorum = options->quorum > 0 ? options->quorum : -1; /* every part goes on */
    sgp_membership_set_quorum(membership_of(run), quorum,
                              (uint64_t)(options->pause_limit * (double)SGP_SECOND));
    run_losses_set_quorum(&run->losses, quorum);
    halt_set_waiting(&run->halt, look, run);
}

void run_pause_after_step(run_t *run) {
    if (run->pause.begun) look(run);
}

void run_pause_over(run_t *run) {
    if (run->pause.begun && sgp_membership_is_struck_off(membership_of(run))) forget(run);
}

bool run_pause_reason(const run_t *run, char *text, size_t room) {
    const char *folder = run->pause.folder;
    sgp_pause_t found;
    if (!run->pause.begun || !sgp_membership_pause(membership_of(run), &found)) return false;
    int length =
        snprintf(text, room,
                 "too few of the others were heard, of %d nodes %d with this one: ended after "
                 "step %" PRIu64 " of %" PRIu64,
                 found.plan, found.here, run->step, epochs_total(&run->replica.epochs));
    if (folder[0] && length > 0 && (size_t)length < room)
        snprintf(text + length, room - (size_t)length, "; --resume %s goes on from there", folder);
    return true;
}
