/* SPDX-License-Identifier: Apache-2.0 */
/* All-reduce SGD: the exact mean of the gradients in every step, then the same local step
 * everywhere. The buffers behind the parameters are averaged as they are. A chunk of the mean goes
 * through the optimizer where it lies. */
#include "base/logging.h"
#include "base/memory.h"
#include "mixing/feedback.h"
#include "mixing/kernels.h"
#include "mixing/mixer_internal.h"
#include "mixing/reduce.h"
#include "optimizer/optimizer_internal.h"

#include <string.h>

typedef struct step {
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer; /* NULL: z itself is averaged */
    const float *gradient;      /* (P) */
    float learning_rate;
} step_t;

static unsigned allreduce_messages(const sgp_mixer_t *mixer) {
    (void)mixer;
    return 2; /* a fast node sends its part of the next step while a slow one still reads the mean
                 of this */
}

/* [gradient | buffers], or z. */
static const float *part(sgp_reduce_t *reduce, size_t offset, size_t count, float *scratch) {
    const step_t *step = reduce->context;
    const sgp_mixer_t *mixer = step->mixer;
    if (!step->optimizer) return mixer->z + offset;
    return sgp_reduce_joined(step->gradient, mixer->count, mixer->z + mixer->count, offset, count,
                             scratch);
}

static void result(sgp_reduce_t *reduce, size_t offset, size_t count, const float *mean) {
    const step_t *step = reduce->context;
    sgp_mixer_t *mixer = step->mixer;
    size_t parameters = 0;
    if (step->optimizer && offset < mixer->count) {
        parameters = mixer->count - offset < count ? mixer->count - offset : count;
        bool finite =
            sgp_optimizer_apply(step->optimizer, mixer->first + offset, parameters,
                                mixer->z + offset, mean, step->learning_rate, NULL, false);
        mixer->broken |= !sgp_mixer_accepts(mixer, finite);
        sgp_ledger_enter(&mixer->ledger, mixer->z, offset, parameters, mixer->w);
    }
    if (parameters == count) return;
    /* These are mixed, not changed by a local step: what the caller made of them is entered before.
     */
    sgp_ledger_enter(&mixer->ledger, mixer->z, offset + parameters, count - parameters, mixer->w);
    memcpy(mixer->z + offset + parameters, mean + parameters, (count - parameters) * sizeof *mean);
}

/* With local steps the parameters are averaged, after the last of them: local SGD. */
static sgp_status_t what_to_reduce(sgp_mixer_t *mixer, const sgp_local_t *local, step_t *step) {
    *step = (step_t){mixer, local->optimizer, local->gradient, local->learning_rate};
    if (mixer->options.local_steps == 1) return SGP_OK;
    sgp_status_t status = sgp_mixer_update_all(mixer, local);
    sgp_ledger_close(&mixer->ledger, mixer->z); /* entered: result would do it again */
    *step = (step_t){.mixer = mixer};
    return status;
}

static sgp_status_t judge_update(const sgp_mixer_t *mixer, sgp_status_t status) {
    if (status != SGP_OK || !mixer->broken) return status;
    return sgp_mixer_refuse(mixer, "parameters", 0, mixer->length);
}

static sgp_status_t allreduce_step(sgp_mixer_t *mixer, const sgp_local_t *local,
                                   uint64_t deadline) {
    if (!mixer->exchanges) return sgp_mixer_update_all(mixer, local);
    step_t step;
    sgp_status_t status = what_to_reduce(mixer, local, &step);
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
                           .part = part,
                           .result = result,
                           .context = &step};
    if (step.optimizer) sgp_optimizer_begin(step.optimizer);
    status = sgp_reduce_run(&reduce);
    mixer->statistics.sent += reduce.sent;
    mixer->statistics.received += reduce.received;
    mixer->statistics.bytes_sent += reduce.bytes_sent;
    return judge_update(mixer, status);
}

const sgp_algorithm_ops_t sgp_algorithm_allreduce = {
    .create = sgp_feedback_create,
    .destroy = sgp_feedback_destroy,
    .messages = allreduce_messages,
    .step = allreduce_step,
    .settle = sgp_feedback_settle,
    .state = sgp_feedback_state,
};

/* ---- by the library under the transport ---- */

static sgp_status_t library_create(sgp_mixer_t *mixer) {
    if (!mixer->transport->ops->sum)
        return sgp_fail(
            SGP_ERR_UNSUPPORTED,
            "mixer: all-reduce by the library, and the transport %s has none; mpi has one, and "
            "our own all-reduce works with all",
            mixer->transport->ops->name);
    mixer->extra = sgp_memory_alloc(mixer->length * sizeof(float));
    if (mixer->extra) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->length);
}

static void library_destroy(sgp_mixer_t *mixer) {
    sgp_memory_free(mixer->extra);
}

/* The whole vector in one piece, in mixer->extra: what it is made of lies in two places, and goes through the
 * optimizer afterwards. What the library sends is not counted, and it knows no deadline. */
static sgp_status_t library_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    (void)deadline;
    if (!mixer->exchanges) return sgp_mixer_update_all(mixer, local);
    step_t step;
    sgp_status_t status = what_to_reduce(mixer, local, &step);
    if (status != SGP_OK) return status;
    sgp_reduce_t reduce = {.context = &step};
    if (step.optimizer) sgp_optimizer_begin(step.optimizer);
    float *sum = mixer->extra, scale = 1 / (float)mixer->size;
    size_t length = mixer->length;
    uint64_t mark = sgp_mixer_mark(mixer);
    const float *mine = part(&reduce, 0, length, sum);
    bool finite = mine == sum ? sgp_is_finite(length, sum) : sgp_copy_finite(length, sum, mine);
    if (!sgp_mixer_accepts(mixer, finite)) return sgp_mixer_refuse(mixer, "gradient", 0, length);
    mark = sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
    status = mixer->transport->ops->sum(mixer->transport, sum, length);
    if (status != SGP_OK) return status;
    mark = sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    sgp_scale(length, sum, scale);
    result(&reduce, 0, length, sum);
    sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    return judge_update(mixer, SGP_OK);
}

const sgp_algorithm_ops_t sgp_algorithm_library_allreduce = {
    .create = library_create,
    .destroy = library_destroy,
    .messages = allreduce_messages,
    .step = library_step,
};
