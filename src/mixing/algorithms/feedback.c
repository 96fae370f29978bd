/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithms/feedback.h"

#include "base/logging.h"
#include "base/memory.h"
#include "mixing/kernels.h"

#include <stdlib.h>
#include <string.h>

typedef struct feedback {
    float *rounding; /* (length) errors */
    uint64_t kind;   /* sgp_feedback_kind_t */
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

/* z <- z + sign rounding on elements [begin, end): mixing, not a local step. The ledger's runs begin anywhere, so it sees
 * all of z. */
static void add_to_z(sgp_mixer_t *mixer, feedback_t *feedback, size_t begin, size_t end,
                     float sign) {
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    sgp_add_scaled(end - begin, mixer->z + begin, feedback->rounding + begin, sign);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    memset(feedback->rounding + begin, 0, (end - begin) * sizeof *feedback->rounding);
}

/* The parameters' errors of gradients stay. */
static void settle(sgp_mixer_t *mixer, feedback_t *feedback) {
    size_t from = feedback->kind == SGP_FEEDBACK_OF_Z ? 0 : mixer->count;
    if (feedback->kind == SGP_FEEDBACK_OF_OUTER_STEPS)
        add_to_z(mixer, feedback, 0, mixer->count, -1);
    add_to_z(mixer, feedback, from, mixer->length, 1);
}

sgp_status_t sgp_feedback_settle(sgp_mixer_t *mixer, uint64_t deadline) {
    (void)deadline;
    if (mixer->extra) settle(mixer, mixer->extra);
    return SGP_OK;
}

void sgp_feedback_state(sgp_mixer_t *mixer, sgp_state_t *state) {
    feedback_t *feedback = mixer->extra;
    if (!feedback) return;
    sgp_state_add(state, "feedback.rounding", SGP_STATE_FLOAT32, feedback->rounding, mixer->length);
    sgp_state_add(state, "feedback.gradients", SGP_STATE_UINT64, &feedback->kind, 1);
}

float *sgp_feedback_of(sgp_mixer_t *mixer, sgp_feedback_kind_t kind) {
    feedback_t *feedback = mixer->extra;
    if (!feedback) return NULL;
    if (kind == feedback->kind) return feedback->rounding;
    if (feedback->kind == SGP_FEEDBACK_OF_GRADIENTS)
        memset(feedback->rounding, 0, mixer->count * sizeof *feedback->rounding);
    else settle(mixer, feedback);
    feedback->kind = kind;
    return feedback->rounding;
}
