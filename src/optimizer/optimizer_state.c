/* SPDX-License-Identifier: Apache-2.0 */
/* An optimizer's state as bytes. optimizer.c lists the places. */
#include "optimizer/optimizer_internal.h"

#include "base/logging.h"
#include "base/saved_state.h"
#include "base/state_description.h"

#include <inttypes.h>

static void describe(const sgp_optimizer_t *optimizer, sgp_state_description_t *to) {
    const sgp_optimizer_options_t *options = sgp_optimizer_options(optimizer);
    static const char *const names[] = {"sgd", "adam", "adamw"};
    *to = (sgp_state_description_t){.length = 0};
    sgp_describe_text(to, "kind", names[options->kind]);
    sgp_describe_size(to, "count", options->count);
    sgp_describe_float(to, "weight_decay", options->weight_decay);
    if (options->kind != SGP_OPTIMIZER_SGD) {
        sgp_describe_float(to, "beta1", options->beta1);
        sgp_describe_float(to, "beta2", options->beta2);
        sgp_describe_float(to, "epsilon", options->epsilon);
    } else {
        sgp_describe_float(to, "momentum", options->momentum);
        sgp_describe_integer(to, "heavy_ball", options->heavy_ball);
    }
    sgp_describe_bytes(to, "no_decay", options->no_decay,
                       options->no_decay_count * sizeof *options->no_decay);
}

static size_t state_size(sgp_optimizer_t *optimizer) {
    sgp_state_t state = {0};
    sgp_state_description_t description;
    sgp_optimizer_state(optimizer, &state);
    describe(optimizer, &description);
    return sgp_saved_state_size(description.text, &state);
}

/* Nothing is changed through it. */
size_t sgp_optimizer_state_size(const sgp_optimizer_t *optimizer) {
    return state_size((sgp_optimizer_t *)(uintptr_t)optimizer);
}

static sgp_status_t save(sgp_optimizer_t *optimizer, void *bytes, size_t size) {
    size_t needed = state_size(optimizer);
    if (!bytes) return sgp_fail(SGP_ERR_INVALID, "optimizer: there is no place for the state");
    if (size != needed)
        return sgp_fail(SGP_ERR_INVALID, "optimizer: a place of %zu bytes: the state has %zu", size,
                        needed);
    sgp_state_t state = {0};
    sgp_state_description_t description;
    sgp_optimizer_state(optimizer, &state);
    describe(optimizer, &description);
    sgp_saved_state_write(description.text, &state, bytes);
    return SGP_OK;
}

sgp_status_t sgp_optimizer_state_save(const sgp_optimizer_t *optimizer, void *bytes, size_t size) {
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    sgp_status_t status = save((sgp_optimizer_t *)(uintptr_t)optimizer, bytes, size);
    return sgp_api_end(before, status);
}

static sgp_status_t load(sgp_optimizer_t *optimizer, const void *bytes, size_t size) {
    uint64_t steps = sgp_optimizer_steps(optimizer);
    if (!bytes) return sgp_fail(SGP_ERR_INVALID, "optimizer: there is no state");
    if (steps > 0)
        return sgp_fail(
            SGP_ERR_INVALID,
            "optimizer: it has made %" PRIu64 " steps: a state is loaded before the first", steps);
    sgp_state_t state = {0};
    sgp_state_description_t description;
    sgp_optimizer_state(optimizer, &state);
    describe(optimizer, &description);
    return sgp_saved_state_read("optimizer", description.text, &state, bytes, size);
}

sgp_status_t sgp_optimizer_state_load(sgp_optimizer_t *optimizer, const void *bytes, size_t size) {
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    sgp_status_t status = load(optimizer, bytes, size);
    return sgp_api_end(before, status);
}
