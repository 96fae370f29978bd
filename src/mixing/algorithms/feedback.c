/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithms/feedback.h"

#include "base/logging.h"
#include "base/memory.h"
#include "mixing/kernels.h"

#include <stdlib.h>
#include <string.h>

typedef struct feedback {
    float *rounding;    /* (length) errors */
    uint64_t gradients; /* 1: the errors of the parameters are of gradients; else of z */
} feedback_t;

sgp_status_t sgp_feedback_create(sgp_mixer_t *mixer) {
    if (!sgp_mixer_is_lossy(mixer)) return SGP_OK;
    feedback_t *feedback = calloc(1, sizeof *feedback);
    mixer->extra = feedback;
    if (!feedback) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for its algorithm");
    feedback->rounding = sgp_memory_alloc(mixer->length * sizeof *feedback->rounding);
    if (!feedback->rounding)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->length);
    memset(feedback->rounding, 0, mixer->length * sizeof *feedback->rounding);
    return SGP_OK;
}

void sgp_feedback_destroy(sgp_mixer_t *mixer) {
    feedback_t *feedback = mixer->extra;
    if (!feedback) return;
    sgp_memory_free(feedback->rounding);
    free(feedback);
}

/* z <- z + rounding on elements [begin, length): mixing, not a local step. The ledger's runs begin anywhere, so it sees
 * all of z. */
static void add_to_z(sgp_mixer_t *mixer, feedback_t *feedback, size_t begin) {
    size_t count = mixer->length - begin;
    float *z = mixer->z + begin, *rounding = feedback->rounding + begin;
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    sgp_add(count, z, z, rounding);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    memset(rounding, 0, count * sizeof *rounding);
}

sgp_status_t sgp_feedback_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    feedback_t *feedback = mixer->extra;
    (void)deadline;
    if (feedback) add_to_z(mixer, feedback, feedback->gradients ? mixer->count : 0);
    return SGP_OK;
}

void sgp_feedback_state(sgp_mixer_t *mixer, sgp_state_t *state) {
    feedback_t *feedback = mixer->extra;
    if (!feedback) return;
    sgp_state_add(state, "feedback.rounding", SGP_STATE_FLOAT32, feedback->rounding, mixer->length);
    sgp_state_add(state, "feedback.gradients", SGP_STATE_UINT64, &feedback->gradients, 1);
}

float *sgp_feedback_of(sgp_mixer_t *mixer, bool gradients) {
    feedback_t *feedback = mixer->extra;
    if (!feedback) return NULL;
    if (gradients && !feedback->gradients) add_to_z(mixer, feedback, 0);
    if (!gradients && feedback->gradients)
        memset(feedback->rounding, 0, mixer->count * sizeof *feedback->rounding);
    feedback->gradients = gradients;
    return feedback->rounding;
}
