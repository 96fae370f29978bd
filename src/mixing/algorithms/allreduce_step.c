/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithms/allreduce_step.h"

#include "mixing/outer.h"
#include "optimizer/optimizer_internal.h"

#include <string.h>

unsigned sgp_allreduce_messages(const sgp_mixer_t *mixer) {
    (void)mixer;
    return 2;
}

static size_t parameters_of(const sgp_mixer_t *mixer, size_t offset, size_t count) {
    size_t left = offset < mixer->count ? mixer->count - offset : 0;
    return left < count ? left : count;
}

/* [A - z | buffers] */
static const float *outer_part(const sgp_mixer_t *mixer, size_t offset, size_t count,
                               float *scratch) {
    size_t parameters = parameters_of(mixer, offset, count);
    sgp_outer_difference(mixer, offset, parameters, scratch);
    memcpy(scratch + parameters, mixer->z + offset + parameters,
           (count - parameters) * sizeof *scratch);
    return scratch;
}

const float *sgp_allreduce_part(sgp_reduce_t *reduce, size_t offset, size_t count, float *scratch) {
    const sgp_allreduce_step_t *step = reduce->context;
    const sgp_mixer_t *mixer = step->mixer;
    if (step->outer) return outer_part(mixer, offset, count, scratch);
    if (!step->optimizer) return mixer->z + offset;
    return sgp_reduce_joined(step->gradient, mixer->count, mixer->z + mixer->count, offset, count,
                             scratch);
}

void sgp_allreduce_result(sgp_reduce_t *reduce, size_t offset, size_t count, const float *mean) {
    sgp_allreduce_step_t *step = reduce->context;
    sgp_mixer_t *mixer = step->mixer;
    size_t parameters = step->optimizer || step->outer ? parameters_of(mixer, offset, count) : 0;
    step->applied = true;
    if (step->outer) {
        bool finite = sgp_outer_take_mean(mixer, offset, parameters, mean);
        mixer->broken |= !sgp_mixer_accepts(mixer, finite);
    } else if (parameters > 0) {
        bool finite =
            sgp_optimizer_apply(step->optimizer, mixer->first + offset, parameters,
                                mixer->z + offset, mean, step->learning_rate, NULL, false);
        mixer->broken |= !sgp_mixer_accepts(mixer, finite);
        sgp_ledger_enter(&mixer->ledger, mixer->z, offset, parameters, mixer->w);
    }
    if (parameters == count) return;
    /* The rest is mixed, not updated: the caller's own changes of it are entered first. */
    sgp_ledger_enter(&mixer->ledger, mixer->z, offset + parameters, count - parameters, mixer->w);
    memcpy(mixer->z + offset + parameters, mean + parameters, (count - parameters) * sizeof *mean);
}

bool sgp_allreduce_updates_first(const sgp_mixer_t *mixer) {
    return !mixer->exchanges || mixer->options.local_steps > 1 || sgp_outer_by_mean(mixer);
}

sgp_status_t sgp_allreduce_begin(sgp_mixer_t *mixer, const sgp_local_t *local,
                                 sgp_allreduce_step_t *step) {
    *step = (sgp_allreduce_step_t){.mixer = mixer,
                                   .optimizer = local->optimizer,
                                   .gradient = local->gradient,
                                   .learning_rate = local->learning_rate};
    if (!sgp_allreduce_updates_first(mixer)) return SGP_OK;
    sgp_status_t status = sgp_local_update_all(mixer, local);
    sgp_ledger_close(&mixer->ledger, mixer->z); /* or sgp_allreduce_result would enter it again */
    *step = (sgp_allreduce_step_t){.mixer = mixer, .outer = sgp_outer_by_mean(mixer)};
    return status;
}

sgp_status_t sgp_allreduce_judge(const sgp_mixer_t *mixer, sgp_status_t status) {
    if (status != SGP_OK || !mixer->broken) return status;
    return sgp_mixer_refuse(mixer, "parameters", 0, mixer->length);
}
