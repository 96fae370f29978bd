/* SPDX-License-Identifier: Apache-2.0 */
/* All-reduce SGD: the exact mean of the gradients in every step, then the same local step on every node. The buffers
 * behind the parameters are averaged as they are. */
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/algorithms/allreduce_step.h"
#include "mixing/algorithms/feedback.h"

#include "optimizer/optimizer_internal.h"

static sgp_status_t allreduce_step(sgp_mixer_t *mixer, const sgp_local_t *local,
                                   uint64_t deadline) {
    if (!mixer->exchanges) return sgp_local_update_all(mixer, local);
    sgp_allreduce_step_t step;
    sgp_status_t status = sgp_allreduce_begin(mixer, local, &step);
    if (status != SGP_OK) return status;
    sgp_reduce_t reduce = {.reducer = &mixer->reducer,
                           .channel = mixer->channel,
                           .step = mixer->round,
                           .deadline = deadline,
                           .trace = mixer->trace,
                           .weight = 1,
                           .unchecked = mixer->options.allow_not_finite,
                           .encoding = mixer->options.encoding,
                           .rounding = sgp_feedback_of(mixer, step.optimizer != NULL),
                           .part = sgp_allreduce_part,
                           .result = sgp_allreduce_result,
                           .context = &step};
    if (step.optimizer) sgp_optimizer_begin(step.optimizer);
    status = sgp_reduce_run(&reduce);
    mixer->statistics.sent += reduce.sent;
    mixer->statistics.received += reduce.received;
    mixer->statistics.bytes_sent += reduce.bytes_sent;
    return sgp_allreduce_judge(mixer, status);
}

const sgp_algorithm_ops_t sgp_algorithm_allreduce = {
    .create = sgp_feedback_create,
    .destroy = sgp_feedback_destroy,
    .messages = sgp_allreduce_messages,
    .step = allreduce_step,
    .settle = sgp_feedback_settle,
    .state = sgp_feedback_state,
};
