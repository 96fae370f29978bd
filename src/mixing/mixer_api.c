/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions of sgp/mixer.h: sizes of the caller's structs, the group's log, and calls that can be left in the
 * middle. Their bodies are in mixer.c, hold.c, parts.c, switch.c, exact_average.c and mixer_state.c. */
#include "mixing/meeting.h"
#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"
#include "mixing/parts.h"

#include "base/abi.h"
#include "base/logging.h"

/* The shortest structs that a caller can have; docs/library.md shows the first, without `vector`. */
#define LEAST_OPTIONS    (offsetof(sgp_mixer_options_t, workers) + sizeof(sgp_group_t *))
#define LEAST_STATISTICS (offsetof(sgp_mixer_statistics_t, weight) + sizeof(double))
#define LEAST_CONSENSUS  (offsetof(sgp_mixer_consensus_t, distance) + sizeof(double))

/* ---- create, destroy ---- */

typedef struct create {
    sgp_group_t *group;
    const sgp_mixer_options_t *options;
    size_t size;
    const float *initial;
    sgp_mixer_t **mixer;
} create_t;

static sgp_status_t create(void *argument) {
    const create_t *create = argument;
    sgp_mixer_options_t ours;
    sgp_status_t status = sgp_abi_read("mixer options", create->options, create->size, &ours,
                                       sizeof ours, LEAST_OPTIONS);
    if (status == SGP_OK)
        status = sgp_mixer_do_create(create->group, &ours, create->initial, create->mixer);
    if (status == SGP_OK) sgp_meeting_begin(*create->mixer);
    return status;
}

sgp_status_t sgp_mixer_create_sized(sgp_group_t *group, const sgp_mixer_options_t *options,
                                    size_t size, const float *initial, sgp_mixer_t **mixer) {
    create_t argument = {group, options, size, initial, mixer};
    return sgp_group_run(group, "sgp_mixer_create", create, &argument, sizeof argument);
}

void sgp_mixer_destroy(sgp_mixer_t *mixer) {
    if (!mixer) return;
    sgp_group_cancel(mixer->group);
    const sgp_log_sink_t *before = sgp_api_begin(sgp_group_sink(mixer->group));
    sgp_meeting_end(mixer);
    sgp_parts_destroy(mixer);
    sgp_mixer_do_destroy(mixer);
    sgp_api_end(before, SGP_OK);
}

/* ---- switch ---- */

typedef struct change {
    sgp_mixer_t *mixer;
    const sgp_mixer_options_t *options;
    size_t size;
} change_t;

static sgp_status_t change(void *argument) {
    const change_t *change = argument;
    sgp_mixer_options_t ours;
    sgp_status_t status = sgp_abi_read("mixer options", change->options, change->size, &ours,
                                       sizeof ours, LEAST_OPTIONS);
    if (status == SGP_OK) status = sgp_parts_complete(change->mixer, "switch");
    return status == SGP_OK ? sgp_mixer_do_switch(change->mixer, &ours) : status;
}

sgp_status_t sgp_mixer_switch_sized(sgp_mixer_t *mixer, const sgp_mixer_options_t *options,
                                    size_t size) {
    change_t argument = {mixer, options, size};
    return sgp_group_run(mixer->group, "sgp_mixer_switch", change, &argument, sizeof argument);
}

/* ---- step ---- */

typedef struct step {
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    const float *gradient;
    float learning_rate;
} step_t;

static sgp_status_t step(void *argument) {
    const step_t *step = argument;
    sgp_status_t status = sgp_parts_complete(step->mixer, "step");
    if (status != SGP_OK) return status;
    return sgp_mixer_do_step(step->mixer, step->optimizer, step->gradient, step->learning_rate);
}

sgp_status_t sgp_mixer_step(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient,
                            float learning_rate) {
    step_t argument = {mixer, optimizer, gradient, learning_rate};
    return sgp_group_run(mixer->group, "sgp_mixer_step", step, &argument, sizeof argument);
}

/* ---- hold ---- */

static sgp_status_t hold(void *argument) {
    sgp_mixer_t *mixer = *(sgp_mixer_t **)argument;
    sgp_status_t status = sgp_parts_complete(mixer, "hold");
    return status == SGP_OK ? sgp_mixer_do_hold(mixer) : status;
}

sgp_status_t sgp_mixer_hold(sgp_mixer_t *mixer) {
    return sgp_group_run(mixer->group, "sgp_mixer_hold", hold, &mixer, sizeof mixer);
}

/* ---- a step in parts ---- */

static sgp_status_t begin(void *argument) {
    const step_t *step = argument;
    return sgp_mixer_do_begin(step->mixer, step->optimizer, step->gradient, step->learning_rate);
}

sgp_status_t sgp_mixer_begin(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient,
                             float learning_rate) {
    step_t argument = {mixer, optimizer, gradient, learning_rate};
    return sgp_group_run(mixer->group, "sgp_mixer_begin", begin, &argument, sizeof argument);
}

typedef struct range {
    sgp_mixer_t *mixer;
    size_t offset, count;
} range_t;

static sgp_status_t part(void *argument) {
    const range_t *range = argument;
    return sgp_mixer_do_part(range->mixer, range->offset, range->count);
}

sgp_status_t sgp_mixer_part(sgp_mixer_t *mixer, size_t offset, size_t count) {
    range_t argument = {mixer, offset, count};
    return sgp_group_run(mixer->group, "sgp_mixer_part", part, &argument, sizeof argument);
}

static sgp_status_t end(void *argument) {
    return sgp_mixer_do_end(*(sgp_mixer_t **)argument);
}

sgp_status_t sgp_mixer_end(sgp_mixer_t *mixer) {
    return sgp_group_run(mixer->group, "sgp_mixer_end", end, &mixer, sizeof mixer);
}

static sgp_status_t wait_for(void *argument) {
    const range_t *range = argument;
    return sgp_mixer_do_wait(range->mixer, range->offset, range->count);
}

sgp_status_t sgp_mixer_wait(sgp_mixer_t *mixer, size_t offset, size_t count) {
    range_t argument = {mixer, offset, count};
    return sgp_group_run(mixer->group, "sgp_mixer_wait", wait_for, &argument, sizeof argument);
}

/* ---- add ---- */

typedef struct add {
    sgp_mixer_t *mixer;
    size_t offset, count;
    const float *change;
} add_t;

static sgp_status_t add(void *argument) {
    const add_t *add = argument;
    sgp_status_t status = sgp_parts_complete(add->mixer, "add");
    if (status != SGP_OK) return status;
    return sgp_mixer_do_add(add->mixer, add->offset, add->count, add->change);
}

sgp_status_t sgp_mixer_add(sgp_mixer_t *mixer, size_t offset, size_t count, const float *change) {
    add_t argument = {mixer, offset, count, change};
    return sgp_group_run(mixer->group, "sgp_mixer_add", add, &argument, sizeof argument);
}

/* ---- state ---- */

typedef struct state_call {
    sgp_mixer_t *mixer;
    void *to;
    const void *from;
    size_t size;
} state_call_t;

/* Nothing is changed through it. */
size_t sgp_mixer_state_size(const sgp_mixer_t *mixer) {
    return sgp_mixer_do_state_size((sgp_mixer_t *)(uintptr_t)mixer);
}

static sgp_status_t state_save(void *argument) {
    const state_call_t *call = argument;
    sgp_status_t status = sgp_parts_complete(call->mixer, "state_save");
    return status == SGP_OK ? sgp_mixer_do_state_save(call->mixer, call->to, call->size) : status;
}

sgp_status_t sgp_mixer_state_save(sgp_mixer_t *mixer, void *bytes, size_t size) {
    state_call_t call = {.mixer = mixer, .to = bytes, .size = size};
    return sgp_group_run(mixer->group, "sgp_mixer_state_save", state_save, &call, sizeof call);
}

static sgp_status_t state_load(void *argument) {
    const state_call_t *call = argument;
    sgp_status_t status = sgp_parts_complete(call->mixer, "state_load");
    return status == SGP_OK ? sgp_mixer_do_state_load(call->mixer, call->from, call->size) : status;
}

sgp_status_t sgp_mixer_state_load(sgp_mixer_t *mixer, const void *bytes, size_t size) {
    state_call_t call = {.mixer = mixer, .from = bytes, .size = size};
    return sgp_group_run(mixer->group, "sgp_mixer_state_load", state_load, &call, sizeof call);
}

/* ---- average, statistics ---- */

typedef struct average {
    sgp_mixer_t *mixer;
    float *average;
    sgp_mixer_consensus_t *consensus;
    size_t size;
} average_t;

static sgp_status_t average(void *argument) {
    const average_t *average = argument;
    sgp_mixer_consensus_t ours;
    sgp_status_t status = SGP_OK;
    if (average->consensus) status = sgp_abi_check("consensus", average->size, LEAST_CONSENSUS);
    if (status == SGP_OK) status = sgp_parts_complete(average->mixer, "average");
    if (status == SGP_OK)
        status = sgp_mixer_do_average(average->mixer, average->average,
                                      average->consensus ? &ours : NULL);
    if (status == SGP_OK && average->consensus)
        sgp_abi_write(&ours, sizeof ours, average->consensus, average->size);
    return status;
}

sgp_status_t sgp_mixer_average_sized(sgp_mixer_t *mixer, float *values,
                                     sgp_mixer_consensus_t *consensus, size_t size) {
    average_t argument = {mixer, values, consensus, size};
    return sgp_group_run(mixer->group, "sgp_mixer_average", average, &argument, sizeof argument);
}

sgp_status_t sgp_mixer_statistics_sized(const sgp_mixer_t *mixer,
                                        sgp_mixer_statistics_t *statistics, size_t size) {
    sgp_mixer_statistics_t ours;
    const sgp_log_sink_t *before = sgp_api_begin(sgp_group_sink(mixer->group));
    sgp_status_t status = sgp_abi_check("statistics", size, LEAST_STATISTICS);
    if (status == SGP_OK) {
        sgp_mixer_do_statistics(mixer, &ours);
        sgp_abi_write(&ours, sizeof ours, statistics, size);
    }
    return sgp_api_end(before, status);
}
