/* SPDX-License-Identifier: Apache-2.0 */
#include "optimizer/optimizer_internal.h"

#include "base/abi.h"
#include "base/logging.h"
#include "base/memory.h"
#include "base/stream.h"
#include "base/vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sgp_optimizer {
    sgp_optimizer_options_t options; /* defaults filled in; no_decay points to our copy */
    sgp_range_t *no_decay;           /* (no_decay_count) */
    float *first;                    /* (P) momentum m, or Adam's first moment */
    float *second;                   /* (P) Adam's second moment, or NULL */
    uint64_t step;
    float correction1, correction2; /* Adam: 1 / (1 - beta^step) */
};

static sgp_status_t check_ranges(const sgp_optimizer_options_t *options) {
    size_t end = 0;
    for (size_t i = 0; i < options->no_decay_count; i++) {
        sgp_range_t range = options->no_decay[i];
        if (range.offset < end || range.offset > options->count ||
            range.count > options->count - range.offset)
            return sgp_fail(SGP_ERR_INVALID,
                            "optimizer: no_decay range %zu is [%zu, +%zu): must ascend, be apart "
                            "and lie within %zu",
                            i, range.offset, range.count, options->count);
        end = range.offset + range.count;
    }
    return SGP_OK;
}

static bool has_moments(const sgp_optimizer_options_t *options) {
    return options->kind == SGP_OPTIMIZER_ADAM || options->kind == SGP_OPTIMIZER_ADAMW;
}

static bool in_unit(float value) {
    return value >= 0 && value < 1;
}

static sgp_status_t check(const sgp_optimizer_options_t *options) {
    if (options->count == 0)
        return sgp_fail(SGP_ERR_INVALID, "optimizer: count is 0, must be at least 1");
    if (options->kind != SGP_OPTIMIZER_SGD && !has_moments(options))
        return sgp_fail(SGP_ERR_INVALID, "optimizer: there is no kind %d", (int)options->kind);
    if (!in_unit(options->momentum) || !in_unit(options->beta1) || !in_unit(options->beta2))
        return sgp_fail(SGP_ERR_INVALID,
                        "optimizer: momentum %g, beta1 %g, beta2 %g: must be in [0, 1)",
                        (double)options->momentum, (double)options->beta1, (double)options->beta2);
    if (!(options->weight_decay >= 0) || !(options->epsilon >= 0))
        return sgp_fail(SGP_ERR_INVALID, "optimizer: weight_decay %g, epsilon %g: must be >= 0",
                        (double)options->weight_decay, (double)options->epsilon);
    return check_ranges(options);
}

static bool allocate(sgp_optimizer_t *optimizer) {
    const sgp_optimizer_options_t *options = &optimizer->options;
    if (options->no_decay_count) {
        size_t bytes = options->no_decay_count * sizeof *optimizer->no_decay;
        optimizer->no_decay = malloc(bytes);
        if (!optimizer->no_decay) return false;
        memcpy(optimizer->no_decay, options->no_decay, bytes);
    }
    bool adam = has_moments(options);
    if (adam || options->momentum > 0) {
        optimizer->first = sgp_memory_alloc(options->count * sizeof(float));
        if (!optimizer->first) return false;
    }
    if (adam) {
        optimizer->second = sgp_memory_alloc(options->count * sizeof(float));
        if (!optimizer->second) return false;
    }
    return true;
}

static sgp_status_t create(const sgp_optimizer_options_t *options, sgp_optimizer_t **optimizer) {
    sgp_status_t status = check(options);
    if (status != SGP_OK) return status;
    sgp_optimizer_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for an optimizer");
    made->options = *options;
    if (made->options.beta1 == 0) made->options.beta1 = 0.9f;
    if (made->options.beta2 == 0) made->options.beta2 = 0.999f;
    if (made->options.epsilon == 0) made->options.epsilon = 1e-8f;
    if (!allocate(made)) {
        sgp_optimizer_destroy(made);
        return sgp_fail(SGP_ERR_NO_MEMORY, "optimizer: no memory for the state of %zu parameters",
                        options->count);
    }
    made->options.no_decay = made->no_decay;
    *optimizer = made;
    return SGP_OK;
}

/* Of version 1.0. */
#define LEAST_OPTIONS (offsetof(sgp_optimizer_options_t, no_decay_count) + sizeof(size_t))

sgp_status_t sgp_optimizer_create_sized(const sgp_optimizer_options_t *options, size_t size,
                                        sgp_optimizer_t **optimizer) {
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    sgp_optimizer_options_t ours;
    sgp_status_t status =
        sgp_abi_read("optimizer options", options, size, &ours, sizeof ours, LEAST_OPTIONS);
    if (status == SGP_OK) status = create(&ours, optimizer);
    return sgp_api_end(before, status);
}

void sgp_optimizer_destroy(sgp_optimizer_t *optimizer) {
    if (!optimizer) return;
    sgp_memory_free(optimizer->first);
    sgp_memory_free(optimizer->second);
    free(optimizer->no_decay);
    free(optimizer);
}

const sgp_optimizer_options_t *sgp_optimizer_options(const sgp_optimizer_t *optimizer) {
    return &optimizer->options;
}

uint64_t sgp_optimizer_steps(const sgp_optimizer_t *optimizer) {
    return optimizer->step;
}

size_t sgp_optimizer_count(const sgp_optimizer_t *optimizer) {
    return optimizer->options.count;
}

/* correction1 and correction2 follow from step. */
void sgp_optimizer_state(sgp_optimizer_t *optimizer, sgp_state_t *state) {
    size_t count = optimizer->options.count;
    sgp_state_add(state, "optimizer.step", SGP_STATE_UINT64, &optimizer->step, 1);
    if (optimizer->first)
        sgp_state_add(state, "optimizer.first", SGP_STATE_FLOAT32, optimizer->first, count);
    if (optimizer->second)
        sgp_state_add(state, "optimizer.second", SGP_STATE_FLOAT32, optimizer->second, count);
}

void sgp_optimizer_begin(sgp_optimizer_t *optimizer) {
    optimizer->step++;
    double step = (double)optimizer->step;
    optimizer->correction1 = (float)(1 / (1 - pow(optimizer->options.beta1, step)));
    optimizer->correction2 = (float)(1 / (1 - pow(optimizer->options.beta2, step)));
}

/* ---- the passes over memory; z, g, copy, m, v: (count); false: a new z is not finite ---- */

SGP_VECTOR
static bool plain_sgd(size_t count, float *restrict z, const float *restrict g, float lr,
                      float decay, float *restrict copy) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        float value = z[i] - lr * (g[i] + decay * z[i]);
        z[i] = value;
        copy[i] = value;
        bad |= sgp_not_finite(value);
    }
    return bad == 0;
}

/* Nesterov: d = g' + mu m = c0 g' + c1 m with c0 = 1, c1 = mu; heavy ball: d = m, c0 = 0, c1 = 1.
 */
SGP_VECTOR
static bool momentum_sgd(size_t count, float *restrict z, const float *restrict g, float lr,
                         float decay, float *restrict copy, float *restrict m, float mu, float c0,
                         float c1) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        float gradient = g[i] + decay * z[i];
        float momentum = mu * m[i] + gradient;
        float value = z[i] - lr * (c0 * gradient + c1 * momentum);
        m[i] = momentum;
        z[i] = value;
        copy[i] = value;
        bad |= sgp_not_finite(value);
    }
    return bad == 0;
}

SGP_VECTOR
static bool adam(size_t count, float *restrict z, const float *restrict g, float lr, float decay,
                 float *restrict copy, float *restrict m, float *restrict v,
                 const sgp_optimizer_t *optimizer) {
    float beta1 = optimizer->options.beta1, beta2 = optimizer->options.beta2;
    float correction1 = optimizer->correction1, correction2 = optimizer->correction2;
    float epsilon = optimizer->options.epsilon;
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        float gradient = g[i] + decay * z[i];
        float first = beta1 * m[i] + (1 - beta1) * gradient;
        float second = beta2 * v[i] + (1 - beta2) * gradient * gradient;
        float value = z[i] - lr * (first * correction1) / (sqrtf(second * correction2) + epsilon);
        m[i] = first;
        v[i] = second;
        z[i] = value;
        copy[i] = value;
        bad |= sgp_not_finite(value);
    }
    return bad == 0;
}

SGP_VECTOR
static bool adamw(size_t count, float *restrict z, const float *restrict g, float lr, float decay,
                  float *restrict copy, float *restrict m, float *restrict v,
                  const sgp_optimizer_t *optimizer) {
    float beta1 = optimizer->options.beta1, beta2 = optimizer->options.beta2;
    float correction1 = optimizer->correction1, correction2 = optimizer->correction2;
    float epsilon = optimizer->options.epsilon, kept = 1 - lr * decay;
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        float first = beta1 * m[i] + (1 - beta1) * g[i];
        float second = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        float value =
            kept * z[i] - lr * (first * correction1) / (sqrtf(second * correction2) + epsilon);
        m[i] = first;
        v[i] = second;
        z[i] = value;
        copy[i] = value;
        bad |= sgp_not_finite(value);
    }
    return bad == 0;
}

/* A stretch with one weight decay. */
static bool update(sgp_optimizer_t *optimizer, size_t offset, size_t count, float *z,
                   const float *g, float lr, float decay, float *copy) {
    const sgp_optimizer_options_t *options = &optimizer->options;
    float *m = optimizer->first ? optimizer->first + offset : NULL;
    if (options->kind == SGP_OPTIMIZER_ADAM)
        return adam(count, z, g, lr, decay, copy, m, optimizer->second + offset, optimizer);
    if (options->kind == SGP_OPTIMIZER_ADAMW)
        return adamw(count, z, g, lr, decay, copy, m, optimizer->second + offset, optimizer);
    if (m)
        return momentum_sgd(count, z, g, lr, decay, copy, m, options->momentum,
                            options->heavy_ball ? 0 : 1,
                            options->heavy_ball ? 1 : options->momentum);
    return plain_sgd(count, z, g, lr, decay, copy);
}

/* In short stretches, with the copy in a scratch that stays in the cache: for a step without a push (copy is NULL), and
 * for non-temporal stores. */
static bool update_by_scratch(sgp_optimizer_t *optimizer, size_t offset, size_t count, float *z,
                              const float *g, float lr, float decay, float *copy) {
    _Alignas(64) float scratch[SGP_STREAM_BYTES / sizeof(float)];
    const size_t most = sizeof scratch / sizeof *scratch;
    bool finite = true;
    for (size_t done = 0; done < count;) {
        size_t part = count - done < most ? count - done : most;
        finite &= update(optimizer, offset + done, part, z + done, g + done, lr, decay, scratch);
        if (copy) sgp_stream_copy(part * sizeof *copy, copy + done, scratch);
        done += part;
    }
    return finite;
}

/* The end of the stretch of elements with the same decay as `at`, and whether they decay. */
static size_t stretch_end(const sgp_optimizer_options_t *options, size_t *range, size_t at,
                          size_t end, bool *decays) {
    while (*range < options->no_decay_count &&
           options->no_decay[*range].offset + options->no_decay[*range].count <= at)
        (*range)++;
    *decays = true;
    if (*range == options->no_decay_count) return end;
    size_t from = options->no_decay[*range].offset, to = from + options->no_decay[*range].count;
    *decays = at < from;
    size_t next = *decays ? from : to;
    return next < end ? next : end;
}

bool sgp_optimizer_apply(sgp_optimizer_t *optimizer, size_t offset, size_t count, float *parameters,
                         const float *gradient, float learning_rate, float *copy,
                         bool non_temporal) {
    const sgp_optimizer_options_t *options = &optimizer->options;
    size_t end = offset + count, range = 0;
    bool finite = true;
    for (size_t at = offset; at < end;) {
        bool decays;
        size_t next = stretch_end(options, &range, at, end, &decays);
        float decay = decays ? options->weight_decay : 0;
        float *z = parameters + (at - offset);
        const float *g = gradient + (at - offset);
        float *out = copy ? copy + (at - offset) : NULL;
        finite &= (copy && !non_temporal ? update : update_by_scratch)(
            optimizer, at, next - at, z, g, learning_rate, decay, out);
        at = next;
    }
    return finite;
}

void sgp_optimizer_step(sgp_optimizer_t *optimizer, float *parameters, const float *gradient,
                        float learning_rate) {
    sgp_optimizer_begin(optimizer);
    sgp_optimizer_apply(optimizer, 0, optimizer->options.count, parameters, gradient, learning_rate,
                        NULL, false);
}
