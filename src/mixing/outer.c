/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/outer.h"

#include "base/vector.h"

#include <string.h>

sgp_outer_kind_t sgp_outer_kind_of(const sgp_mixer_options_t *options) {
    if (options->slow_every > 0) return SGP_OUTER_SLOW;
    if (!(options->outer_lr > 0)) return SGP_OUTER_NONE;
    return options->algorithm == SGP_ALGORITHM_ALLREDUCE ? SGP_OUTER_BY_MEAN : SGP_OUTER_BY_PUSH;
}

void sgp_outer_anchor(sgp_mixer_t *mixer) {
    memcpy(mixer->outer_anchor, mixer->z, mixer->count * sizeof *mixer->outer_anchor);
}

void sgp_outer_restart(sgp_mixer_t *mixer) {
    memset(mixer->outer_momentum, 0, mixer->count * sizeof *mixer->outer_momentum);
    sgp_outer_anchor(mixer);
}

/* ---- the passes over memory; all vectors: (count) ---- */

SGP_VECTOR
static void subtract(size_t count, float *restrict to, const float *restrict a,
                     const float *restrict b) {
    for (size_t i = 0; i < count; i++) to[i] = a[i] - b[i];
}

/* false: a number is not finite. */
SGP_VECTOR
static bool step_by_mean(size_t count, float *restrict z, float *restrict anchor,
                         float *restrict momentum, const float *restrict mean, float lr, float mu) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        float u = mu * momentum[i] + mean[i];
        float value = anchor[i] - lr * (mean[i] + mu * u);
        momentum[i] = u;
        anchor[i] = value;
        z[i] = value;
        bad |= sgp_not_finite(value);
    }
    return bad == 0;
}

/* rate: lr / w */
SGP_VECTOR
static bool step_by_push(size_t count, float *restrict z, const float *restrict anchor,
                         float *restrict momentum, float w, float rate, float mu) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        float gradient = w * (anchor[i] - z[i]);
        float u = mu * momentum[i] + gradient;
        float value = anchor[i] - rate * (gradient + mu * u);
        momentum[i] = u;
        z[i] = value;
        bad |= sgp_not_finite(value);
    }
    return bad == 0;
}

SGP_VECTOR
static void set_aside(size_t count, float *restrict anchor, const float *restrict z, float w) {
    for (size_t i = 0; i < count; i++) anchor[i] = w * (anchor[i] - z[i]);
}

SGP_VECTOR
static void take_up(size_t count, float *restrict anchor, const float *restrict z, float part) {
    for (size_t i = 0; i < count; i++) anchor[i] = z[i] + part * anchor[i];
}

/* ---- the steps ---- */

void sgp_outer_difference(const sgp_mixer_t *mixer, size_t offset, size_t count,
                          float *difference) {
    subtract(count, difference, mixer->outer_anchor + offset, mixer->z + offset);
}

bool sgp_outer_take_mean(sgp_mixer_t *mixer, size_t offset, size_t count, const float *mean) {
    float *z = mixer->z + offset, *anchor = mixer->outer_anchor + offset;
    subtract(count, z, anchor, mean); /* the mean of all z, but for what is left in e */
    sgp_ledger_close_range(&mixer->ledger, mixer->z, offset, count);
    bool finite = step_by_mean(count, z, anchor, mixer->outer_momentum + offset, mean,
                               mixer->options.outer_lr, mixer->options.outer_momentum);
    sgp_ledger_enter(&mixer->ledger, mixer->z, offset, count, mixer->w);
    return finite;
}

sgp_status_t sgp_outer_step(sgp_mixer_t *mixer) {
    sgp_ledger_close(&mixer->ledger, mixer->z); /* the local step is entered already */
    bool finite = step_by_push(mixer->count, mixer->z, mixer->outer_anchor, mixer->outer_momentum,
                               (float)mixer->w, (float)((double)mixer->options.outer_lr / mixer->w),
                               mixer->options.outer_momentum);
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    if (sgp_mixer_accepts(mixer, finite)) return SGP_OK;
    return sgp_mixer_refuse(mixer, "parameters", 0, mixer->length);
}

void sgp_outer_set_aside(sgp_mixer_t *mixer) {
    if (sgp_outer_by_push(mixer))
        set_aside(mixer->count, mixer->outer_anchor, mixer->z, (float)mixer->w);
}

void sgp_outer_take_up(sgp_mixer_t *mixer) {
    if (sgp_outer_by_push(mixer))
        take_up(mixer->count, mixer->outer_anchor, mixer->z, (float)(1 / mixer->w));
}
