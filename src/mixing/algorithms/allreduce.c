/* SPDX-License-Identifier: Apache-2.0 */
/* All-reduce SGD: the exact mean of the gradients in every step, then the same local step on every node. The buffers
 * behind the parameters are averaged as they are. */
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/algorithms/allreduce_step.h"
#include "mixing/algorithms/feedback.h"
#include "mixing/algorithms/recovery.h"
#include "mixing/holes.h"
#include "mixing/outer.h"
#include "mixing/reduce_parts.h"

#include "group/membership.h"
#include "optimizer/optimizer_internal.h"

/* Another node has a newcomer, and waits for this one. */
static bool is_called_off(const sgp_reduce_t *reduce) {
    const sgp_allreduce_step_t *step = reduce->context;
    return sgp_recovery_is_called(step->mixer);
}

static uint64_t optimizer_steps(const sgp_mixer_t *mixer) {
    return mixer->optimizer ? sgp_optimizer_steps(mixer->optimizer) : 0;
}

static sgp_feedback_kind_t errors_of(const sgp_allreduce_step_t *step) {
    if (step->outer) return SGP_FEEDBACK_OF_OUTER_STEPS;
    return step->optimizer ? SGP_FEEDBACK_OF_GRADIENTS : SGP_FEEDBACK_OF_Z;
}

static sgp_reduce_t reduction_of(sgp_mixer_t *mixer, sgp_allreduce_step_t *step,
                                 uint64_t deadline) {
    return (sgp_reduce_t){.reducer = &mixer->reducer,
                          .channel = mixer->channel,
                          .step =
                              mixer->round + 2 * mixer->recoveries, /* not one of a broken call */
                          .deadline = deadline,
                          .trace = mixer->trace,
                          .weight = 1,
                          .unchecked = mixer->options.allow_not_finite,
                          .encoding = mixer->options.encoding,
                          .rounding = sgp_feedback_of(mixer, errors_of(step)),
                          .part = sgp_allreduce_part,
                          .result = sgp_allreduce_result,
                          .context = step,
                          .is_called_off = mixer->holes.elastic ? is_called_off : NULL};
}

static void count(sgp_mixer_t *mixer, const sgp_reduce_t *reduce) {
    mixer->statistics.sent += reduce->sent;
    mixer->statistics.received += reduce->received;
    mixer->statistics.bytes_sent += reduce->bytes_sent;
}

/* Averages once, unless a node that takes part is gone. step->optimizer has begun. SGP_ERR_PEER_LOST. */
static sgp_status_t reduce_once(sgp_mixer_t *mixer, sgp_allreduce_step_t *step, uint64_t deadline) {
    sgp_reduce_t reduce = reduction_of(mixer, step, deadline);
    sgp_status_t status = sgp_reduce_run(&reduce);
    count(mixer, &reduce);
    return status;
}

/* After losses among those that take part, if there are any. begun: this node's part may have left. Goes on until the step
 * is made, or counts as made. */
static sgp_status_t reduce_with_survivors(sgp_mixer_t *mixer, sgp_allreduce_step_t *step,
                                          bool begun, uint64_t deadline) {
    for (int tries = 0; tries <= mixer->size; tries++) {
        sgp_recovered_t result;
        if (begun || sgp_recovery_is_due(mixer)) {
            sgp_recovery_place_t place = {.begun = begun,
                                          .applied = begun && step->applied,
                                          .optimizer_steps = step->optimizer_steps,
                                          .learning_rate = step->learning_rate};
            sgp_status_t status = sgp_recover(mixer, &place, &result);
            step->learning_rate = place.learning_rate;
            if (status != SGP_OK || result == SGP_RECOVERED_MADE) return status;
            deadline = sgp_transport_now(mixer->transport) + mixer->timeout;
        }
        sgp_status_t status = reduce_once(mixer, step, deadline);
        if (status != SGP_ERR_PEER_LOST || !mixer->holes.elastic) return status;
        begun = true;
    }
    return sgp_transport_fail_lost(mixer->transport, "in an all-reduce");
}

/* A change of the nodes that is known before the step. */
static sgp_status_t recover_before(sgp_mixer_t *mixer, sgp_local_t *local) {
    sgp_recovered_t result;
    sgp_recovery_place_t place = {.optimizer_steps = optimizer_steps(mixer),
                                  .learning_rate = local->learning_rate};
    if (!mixer->exchanges || !sgp_recovery_is_due(mixer)) return SGP_OK;
    sgp_status_t status = sgp_recover(mixer, &place, &result);
    local->learning_rate = place.learning_rate;
    return status;
}

/* Before each step: events, and the step for the others' plans. */
static void look_around(sgp_mixer_t *mixer, const sgp_local_t *local) {
    if (!mixer->holes.elastic) return;
    mixer->optimizer = local->optimizer;
    sgp_holes_look(mixer);
}

/* A silent node keeps all others waiting. */
static void begin_wait(sgp_mixer_t *mixer) {
    sgp_membership_awaits_all(sgp_group_membership(mixer->group), true);
}

static void end_wait(sgp_mixer_t *mixer) {
    sgp_membership_awaits_all(sgp_group_membership(mixer->group), false);
}

static sgp_status_t allreduce_step(sgp_mixer_t *mixer, const sgp_local_t *local,
                                   uint64_t deadline) {
    look_around(mixer, local);
    if (!mixer->exchanges) return sgp_local_update_all(mixer, local);
    sgp_local_t here = *local;
    sgp_status_t status = recover_before(mixer, &here);
    if (status != SGP_OK) return status;
    sgp_allreduce_step_t step;
    uint64_t steps = optimizer_steps(mixer);
    mixer->unmet = true;
    status = sgp_allreduce_begin(mixer, &here, &step);
    step.optimizer_steps = steps;
    if (status != SGP_OK) return status;
    if (step.optimizer) sgp_optimizer_begin(step.optimizer);
    begin_wait(mixer);
    status = reduce_with_survivors(mixer, &step, false, deadline);
    end_wait(mixer);
    return sgp_allreduce_judge(mixer, status);
}

/* Other nodes may be in a step that a loss has stopped, and wait for this one. */
static sgp_status_t allreduce_meet(sgp_mixer_t *mixer) {
    sgp_recovered_t result;
    sgp_recovery_place_t place = {.settling = true, .optimizer_steps = optimizer_steps(mixer)};
    sgp_status_t status = sgp_recover(mixer, &place, &result);
    if (status == SGP_OK) mixer->unmet = false;
    return status;
}

static sgp_status_t allreduce_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    sgp_status_t status = mixer->holes.elastic ? allreduce_meet(mixer) : SGP_OK;
    return status == SGP_OK ? sgp_feedback_settle(mixer, deadline) : status;
}

/* ---- in parts ---- */

static sgp_status_t parts_begin(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    sgp_local_t *local = &step->local;
    sgp_reduce_parts_t *parts = &step->reduce;
    look_around(mixer, local);
    sgp_status_t status = recover_before(mixer, local);
    if (status != SGP_OK) return status;
    *parts = (sgp_reduce_parts_t){.context = {.mixer = mixer, .outer = sgp_outer_by_mean(mixer)}};
    if (!sgp_allreduce_updates_first(mixer))
        parts->context = (sgp_allreduce_step_t){.mixer = mixer,
                                                .optimizer = local->optimizer,
                                                .gradient = local->gradient,
                                                .learning_rate = local->learning_rate};
    parts->context.optimizer_steps = optimizer_steps(mixer);
    sgp_reduce_parts_init(step, &mixer->reducer, sgp_mixer_chunk(mixer));
    if (!mixer->exchanges) return SGP_OK;
    mixer->unmet = true;
    parts->reduce = reduction_of(mixer, &parts->context, deadline);
    return sgp_reduce_parts_begin(step);
}

static sgp_status_t parts_give(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t index,
                               size_t offset, size_t count, bool whole, uint64_t deadline) {
    sgp_status_t status = SGP_OK;
    step->reduce.reduce.deadline = deadline;
    if (sgp_allreduce_updates_first(mixer)) {
        status = sgp_part_step_update(step, mixer, offset, count);
        /* or sgp_allreduce_result would enter it again */
        sgp_ledger_close_range(&mixer->ledger, mixer->z, offset, count);
    }
    if (status != SGP_OK || !whole) return status;
    if (mixer->exchanges) return sgp_reduce_parts_give(step, mixer, index);
    sgp_part_step_done(step, mixer, index);
    return SGP_OK;
}

static sgp_status_t parts_absorb(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    if (!mixer->exchanges) return SGP_OK;
    step->reduce.reduce.deadline = deadline;
    return sgp_allreduce_judge(mixer, sgp_reduce_parts_absorb(step, mixer));
}

/* All parts have been given, and a node is gone: the rest of the step is made as a whole. */
static sgp_status_t make_whole(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    sgp_reduce_parts_give_up(step);
    sgp_status_t status = reduce_with_survivors(mixer, &step->reduce.context, true, deadline);
    if (status != SGP_OK) return status;
    for (size_t c = 0; c < step->chunks.count; c++)
        if (!step->chunks.chunk[c].done) sgp_part_step_done(step, mixer, c);
    return SGP_OK;
}

static sgp_status_t await(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t first, size_t end,
                          uint64_t deadline) {
    if (!mixer->exchanges) return SGP_OK;
    step->reduce.reduce.deadline = deadline;
    begin_wait(mixer);
    sgp_status_t status = sgp_reduce_parts_await(step, mixer, first, end);
    if (status == SGP_ERR_PEER_LOST && mixer->holes.elastic)
        status = make_whole(mixer, step, deadline);
    end_wait(mixer);
    return sgp_allreduce_judge(mixer, status);
}

static sgp_status_t parts_await(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t first,
                                size_t last, uint64_t deadline) {
    return await(mixer, step, first, last + 1, deadline);
}

/* All others wait for the means of this node's segment, which its next call would make later. */
static sgp_status_t parts_end(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline) {
    return await(mixer, step, step->reduce.mine, step->reduce.others, deadline);
}

static sgp_status_t parts_finish(sgp_mixer_t *mixer, sgp_part_step_t *step) {
    sgp_reduce_parts_t *parts = &step->reduce;
    if (!mixer->exchanges || !parts->begun) return SGP_OK;
    parts->begun = parts->mean_begun = false;
    sgp_reduce_count(&parts->reduce);
    count(mixer, &parts->reduce);
    return SGP_OK;
}

static void parts_abandon(sgp_mixer_t *mixer, sgp_part_step_t *step) {
    (void)mixer;
    sgp_reduce_parts_abandon(step);
}

static const sgp_part_ops_t allreduce_parts = {
    .begin = parts_begin,
    .give = parts_give,
    .absorb = parts_absorb,
    .end = parts_end,
    .await = parts_await,
    .finish = parts_finish,
    .abandon = parts_abandon,
};

const sgp_algorithm_ops_t sgp_algorithm_allreduce = {
    .create = sgp_feedback_create,
    .destroy = sgp_feedback_destroy,
    .messages = sgp_allreduce_messages,
    .step = allreduce_step,
    .parts = &allreduce_parts,
    .settle = allreduce_settle,
    .meet = allreduce_meet,
    .state = sgp_feedback_state,
};
