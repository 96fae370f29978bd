/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_losses.h"

#include "base/logging.h"
#include "group/membership.h"
#include "mixing/mixer_internal.h"
#include "run/presence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sgp_status_t run_losses_init(run_losses_t *losses, sgp_group_t *group,
                             const train_callbacks_t *callbacks) {
    size_t size = (size_t)sgp_group_capacity(group);
    *losses = (run_losses_t){
        .group = group, .callbacks = callbacks, .room = (int)size, .quorum = SGP_QUORUM};
    losses->noted = calloc(size, sizeof *losses->noted);
    losses->agreed = calloc(size, sizeof *losses->agreed);
    losses->members = calloc(size, sizeof *losses->members);
    losses->uses = calloc(size, sizeof *losses->uses);
    losses->apart = calloc(size, sizeof *losses->apart);
    losses->there = calloc(RUN_DIVISIONS * size, sizeof *losses->there);
    if (losses->noted && losses->agreed && losses->members && losses->uses && losses->apart &&
        losses->there) {
        for (int r = 0; r < sgp_group_size(group); r++) run_losses_arrive(losses, r);
        return SGP_OK;
    }
    run_losses_fini(losses);
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the losses of %zu nodes", size);
}

void run_losses_fini(run_losses_t *losses) {
    free(losses->members);
    free(losses->uses);
    free(losses->apart);
    free(losses->there);
    free(losses->noted);
    free(losses->agreed);
    *losses = (run_losses_t){0};
}

static sgp_fates_t *fates_of(const run_losses_t *losses) {
    return sgp_group_transport(losses->group)->fates;
}

static bool is_given_up(const run_losses_t *losses) {
    const train_callbacks_t *callbacks = losses->callbacks;
    return callbacks->given_up &&
           callbacks->given_up(sgp_group_rank(losses->group), callbacks->user);
}

/* A node that is lost to the others tells nothing about them. */
static void tell(const run_losses_t *losses, const train_loss_t *loss) {
    if (is_given_up(losses)) return;
    bool leads = run_losses_lowest_left(losses) == sgp_group_rank(losses->group);
    if (losses->callbacks->lost) losses->callbacks->lost(loss, leads, losses->callbacks->user);
}

/* The first step that the node is not known to have made. Where messages do not carry their step, it is taken to have come as
 * far as the one that noticed the loss, in `noticed`. */
static uint64_t next_step(const run_losses_t *losses, int rank, uint64_t noticed) {
    uint64_t steps;
    if (losses->mixer && sgp_mixer_known_steps(losses->mixer, rank, &steps)) return steps;
    return noticed;
}

static void note(run_losses_t *losses, int rank, uint64_t step) {
    sgp_fate_t fate = sgp_fates_of(fates_of(losses), rank);
    train_loss_t *loss = &losses->noted[rank];
    if (fate.state == SGP_FATE_PRESENT || loss->step || !losses->members[rank]) return;
    *loss = (train_loss_t){.node = rank,
                           .step = step,
                           .left = fate.state == SGP_FATE_LEFT,
                           .silent = fate.cause == SGP_CAUSE_SILENT,
                           .seconds = losses->pause,
                           .next = next_step(losses, rank, step)};
    if (loss->left) snprintf(loss->reason, sizeof loss->reason, "it left");
    else sgp_fates_why(fates_of(losses), rank, loss->reason, sizeof loss->reason);
    losses->noticed++;
    tell(losses, loss);
}

void run_losses_note_left(run_losses_t *losses, int rank, uint64_t step, int number) {
    train_loss_t *loss = &losses->noted[rank];
    if (loss->step) return;
    *loss = (train_loss_t){.node = rank, .left = true, .step = step ? step : 1};
    snprintf(loss->reason, sizeof loss->reason, "it left, asked by SIG%s", sigabbrev_np(number));
    losses->noticed++;
    tell(losses, loss);
}

/* As far as this node knows. */
static bool is_there(const run_losses_t *losses, int rank) {
    return losses->members[rank] && presence_has(losses->group, rank) && !losses->noted[rank].step;
}

int run_losses_left(const run_losses_t *losses) {
    int left = 0;
    for (int rank = 0; rank < sgp_group_capacity(losses->group); rank++)
        left += is_there(losses, rank);
    return left;
}

void run_losses_watch(run_losses_t *losses, const sgp_mixer_t *mixer, uint64_t step) {
    losses->mixer = mixer;
    losses->met = step;
}

void run_losses_set_quorum(run_losses_t *losses, double quorum) {
    losses->quorum = quorum;
}

void run_losses_pause(run_losses_t *losses, double seconds) {
    losses->pause = seconds > 0 ? seconds : 0;
}

void run_losses_look(run_losses_t *losses, uint64_t step) {
    if (!losses->noted) return;
    for (; losses->known < sgp_fates_changes(fates_of(losses)); losses->known++) {
        int rank = sgp_fates_changed(fates_of(losses), losses->known);
        if (rank >= 0) note(losses, rank, step ? step : 1);
    }
}

int run_losses_lowest_left(const run_losses_t *losses) {
    int rank = 0, own = sgp_group_rank(losses->group);
    while (rank < own && !is_there(losses, rank)) rank++;
    return rank;
}

/* Of the nodes that were there when the list was agreed on last, and have not left. */
static bool has_quorum(const run_losses_t *losses) {
    int before = 0, left = 0, lowest = -1;
    bool with_lowest = false;
    for (int rank = 0; rank < sgp_group_capacity(losses->group); rank++) {
        if (!losses->members[rank] || losses->noted[rank].left) continue;
        bool there = is_there(losses, rank);
        if (lowest < 0) lowest = rank, with_lowest = there;
        before++;
        left += there;
    }
    double needed = losses->quorum * before;
    return left > needed || (left >= needed && with_lowest);
}

sgp_status_t run_losses_check(run_losses_t *losses, uint64_t step) {
    if (!losses->noted) return SGP_OK;
    int rank = sgp_group_rank(losses->group);
    run_losses_look(losses, step);
    if (losses->known == 0) return SGP_OK;
    if (is_given_up(losses))
        return sgp_fail(SGP_ERR_PEER_LOST, "the others go on without node %d, which was silent",
                        rank);
    if (losses->callbacks->given_up || has_quorum(losses)) return SGP_OK;
    return sgp_fail(
        SGP_ERR_PEER_LOST,
        "node %d is cut off from most of the others, and ends: they may go on without it", rank);
}

/* Members that did not take part in the last collective call. */
static bool is_missing(const run_losses_t *losses, int rank) {
    return losses->members[rank] && !presence_has(losses->group, rank);
}

bool run_losses_none_new(const run_losses_t *losses) {
    for (int rank = 0; losses->members && rank < sgp_group_capacity(losses->group); rank++)
        if (is_missing(losses, rank)) return false;
    return true;
}

void run_losses_arrive(run_losses_t *losses, int rank) {
    losses->members[rank] = true;
    losses->uses[rank]++;
    losses->noted[rank] = (train_loss_t){.node = 0};
}

sgp_status_t run_losses_reserve(run_losses_t *losses, int count) {
    if (count <= losses->room) return SGP_OK;
    train_loss_t *more = realloc(losses->agreed, (size_t)count * sizeof *more);
    if (!more) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d losses", count);
    losses->agreed = more;
    losses->room = count;
    return SGP_OK;
}

/* The earliest step in which a node has noticed it, and the reason of the first node that has. The latest step that a node knows
 * of, and the longest pause. */
static train_loss_t merge(const run_losses_t *losses, int rank, const train_loss_t *all,
                          uint64_t step) {
    train_loss_t merged = {.node = rank};
    uint64_t next = losses->met; /* also where no one was left to receive its pushes */
    double seconds = 0;
    for (int r = 0; r < sgp_group_capacity(losses->group); r++) {
        const train_loss_t *loss = &all[r];
        if (!presence_has(losses->group, r)) continue;
        if (loss->next > next) next = loss->next;
        if (loss->step == 0) continue;
        if (loss->seconds > seconds) seconds = loss->seconds;
        uint64_t first = merged.step && merged.step < loss->step ? merged.step : loss->step;
        if (merged.step == 0) merged = *loss;
        merged.step = first;
    }
    merged.next = next;
    merged.seconds = seconds;
    if (merged.step) return merged;
    merged.step = step ? step : 1; /* the call knows of it, and no node's transport does yet */
    snprintf(merged.reason, sizeof merged.reason, "it is gone");
    return merged;
}

/* replaced: what is heard from the place comes from another node by now. */
static sgp_status_t agree_on(run_losses_t *losses, int rank, bool replaced, train_loss_t *all,
                             uint64_t step) {
    train_loss_t mine = losses->noted[rank];
    if (!replaced) mine.next = next_step(losses, rank, mine.step);
    sgp_status_t status = sgp_group_gather(losses->group, &mine, sizeof mine, all);
    if (!status) status = run_losses_reserve(losses, losses->count + 1);
    if (status) return status;
    losses->members[rank] = false;
    losses->agreed[losses->count++] = merge(losses, rank, all, step);
    if (losses->noted[rank].step) return SGP_OK;
    losses->noted[rank] = losses->agreed[losses->count - 1];
    tell(losses, &losses->noted[rank]);
    return SGP_OK;
}

/* Further nodes may be lost meanwhile. */
static sgp_status_t agree_on_all(run_losses_t *losses, train_loss_t *all, uint64_t step) {
    int size = sgp_group_capacity(losses->group);
    sgp_status_t status = SGP_OK;
    while (!status && !run_losses_none_new(losses))
        for (int rank = 0; rank < size && !status; rank++)
            if (is_missing(losses, rank)) status = agree_on(losses, rank, false, all, step);
    return status;
}

/* NULL, logged: no memory. */
static train_loss_t *allocate(const run_losses_t *losses) {
    int size = sgp_group_capacity(losses->group);
    train_loss_t *all = calloc((size_t)size, sizeof *all);
    if (!all) sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the losses of %d nodes", size);
    return all;
}

sgp_status_t run_losses_agree(run_losses_t *losses, uint64_t step) {
    if (!losses->noted) return SGP_OK;
    if (run_losses_none_new(losses)) {
        losses->met = step;
        return SGP_OK;
    }
    sgp_status_t status = run_losses_check(losses, step);
    if (status) return status;
    train_loss_t *all = allocate(losses);
    if (!all) return SGP_ERR_NO_MEMORY;
    status = agree_on_all(losses, all, step);
    losses->met = step;
    free(all);
    return status;
}

sgp_status_t run_losses_agree_on(run_losses_t *losses, int rank, bool replaced, uint64_t step) {
    train_loss_t *all = allocate(losses);
    if (!all) return SGP_ERR_NO_MEMORY;
    sgp_status_t status = agree_on(losses, rank, replaced, all, step);
    losses->met = step;
    free(all);
    return status;
}

sgp_status_t run_losses_attend(run_losses_t *losses) {
    train_loss_t *all = allocate(losses), nothing = {.node = 0};
    if (!all) return SGP_ERR_NO_MEMORY;
    sgp_status_t status = sgp_group_gather(losses->group, &nothing, sizeof nothing, all);
    free(all);
    return status;
}
